/* SPDX-License-Identifier: MIT */
/*
 * spawn: programs that a child of vfork becomes, for who follows all of them.
 *
 *	vfork, clone: child --execve--> note --> the kernel
 *	posix_spawn, posix_spawnp ----> libc --> note
 *
 * Such a child is in its parent's memory and has no report of its own to write
 * before it is another program. Whether that one can be checked is its own
 * affair: a static program leaves nothing, and nobody would miss it. So there
 * is a note of whom to expect, beside the reports: "expected" in place of leaks.
 *
 * Only for gostat leakcheck, which asks for brief reports. What is written here
 * lies on the stack: the child's static data are its parent's.
 *
 * system() and popen() have children that do not come by here. They become a
 * shell, which reports.
 */
#include "preload/spawn.h"
#include "base/fmt.h"
#include "base/json.h"
#include "base/options.h"
#include "base/syscall.h"
#include "os/sandbox.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>

enum { NUMBERS = 1000 }; /* notes of one process in one second */

static bool asked_for(void)
{
	return leakcheck_on() && options->leakcheck_brief &&
		options->leakcheck_out && !sandboxed;
}

static long create(char path[DUMPFILE_PATH_MAX])
{
	long fd = -EEXIST;

	for (uint64_t n = 1; n < NUMBERS && fd == -EEXIST; n++) {
		if (!dumpfile_expand(options->leakcheck_out, n, path,
			    DUMPFILE_PATH_MAX))
			return -ENAMETOOLONG;
		fd = sys3(SYS_open, path,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	return fd;
}

void spawn_note(int pid, const char *file, char path[DUMPFILE_PATH_MAX])
{
	char buf[512];
	struct fmt f;
	long fd;

	path[0] = '\0';
	if (!asked_for())
		return;
	fd = create(path);
	if (sys_failed(fd)) {
		path[0] = '\0';
		return;
	}
	fmt_init(&f, buf, sizeof(buf), (int)fd);
	fmt_printf(&f,
		"{\"version\":1,\"pid\":%d,\"expected\":true,\"status\":\"clean\","
		"\"exec\":",
		pid);
	json_string(&f, file, strlen(file));
	fmt_str(&f, "}\n");
	fmt_flush(&f);
	sys1(SYS_close, fd);
}

void spawn_forget(const char *path)
{
	if (path[0])
		sys1(SYS_unlink, path);
}

typedef int spawn_fn(pid_t *pid, const char *file,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
	char *const argv[], char *const envp[]);

static struct {
	spawn_fn *spawn, *spawnp;
} next;

void spawn_init(void)
{
	next.spawn = (spawn_fn *)dl_next("posix_spawn");
	next.spawnp = (spawn_fn *)dl_next("posix_spawnp");
}

static int spawn(spawn_fn *fn, pid_t *pid, const char *file,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
	char *const argv[], char *const envp[])
{
	char path[DUMPFILE_PATH_MAX];
	pid_t child;
	int ret = fn(&child, file, actions, a, argv, envp);

	if (ret)
		return ret;
	spawn_note(child, file, path);
	if (pid)
		*pid = child;
	return 0;
}

API int posix_spawn(pid_t *pid, const char *file,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
	char *const argv[], char *const envp[])
{
	if (unlikely(!next.spawn))
		spawn_init();
	if (!asked_for())
		return next.spawn(pid, file, actions, a, argv, envp);
	return spawn(next.spawn, pid, file, actions, a, argv, envp);
}

API int posix_spawnp(pid_t *pid, const char *file,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
	char *const argv[], char *const envp[])
{
	if (unlikely(!next.spawnp))
		spawn_init();
	if (!asked_for())
		return next.spawnp(pid, file, actions, a, argv, envp);
	return spawn(next.spawnp, pid, file, actions, a, argv, envp);
}
