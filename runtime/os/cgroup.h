/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_CGROUP_H
#define GOSTAT_OS_CGROUP_H

#include "base/attrs.h"

/*
 * The memory limits that the kernel holds this process to by its control group
 * (version 2, else 1). Async-signal-safe, errno untouched; nothing stays open.
 */
enum { CGROUP_PATH_MAX = 1024, CGROUP_STAT_MAX = 4096 };

/* One user at a time; big (keep it static). */
struct cgroup {
	int version;  /* 2 or 1; 0: none that limits memory */
	unsigned top; /* length of dir's part that is the mount point */
	char dir[CGROUP_PATH_MAX]; /* of this process's group */

	/* For use inside: callers may have little stack. */
	char path[CGROUP_PATH_MAX + 32];
	char text[CGROUP_STAT_MAX];
};

/* One group, this process's or one that holds it. */
struct cgroup_memory {
	uint64_t limit; /* bytes; UINT64_MAX: none at any level */
	uint64_t used;	/* bytes that count, but for files the kernel can drop */
};

/*
 * Find this process's group. root is put before every absolute path: "" for
 * the real ones. False if there is none. Maps memory for a moment.
 */
bool cgroup_find(struct cgroup *c, const char *root);

/* The smallest limit of the group and all that hold it; UINT64_MAX: none. */
uint64_t cgroup_limit(struct cgroup *c);

/*
 * Of all these levels the one whose limit is nearest (the largest part of it
 * is used, more bytes on their way included); false if none has a limit.
 */
bool cgroup_nearest(
	struct cgroup *c, uint64_t more, struct cgroup_memory *m);

#endif
