/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_SPAWN_H
#define GOSTAT_PRELOAD_SPAWN_H

#include "observe/dumpfile.h"

/*
 * Leave a note that process pid becomes that program, if somebody reads such
 * notes. path gets where it is, or "". Context: anywhere, in a child of vfork
 * too; 5 KiB of stack. errno is kept.
 */
void spawn_note(int pid, const char *file, char path[DUMPFILE_PATH_MAX]);

/* It has not. */
void spawn_forget(const char *path);

/* posix_spawn, posix_spawnp. At load; dlsym() works. */
void spawn_init(void);

#endif
