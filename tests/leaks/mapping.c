/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program has mapped itself. A private mapping counts when
 * somebody knows where it is, a shared one anyhow; in strict mode neither.
 *
 * truth: private keep | clean modes=exit,find,stw
 * truth: private keep | 1/4242 modes=strict
 * truth: private drop | 1/4242
 * truth: shared keep | clean modes=exit,find,stw
 * truth: shared keep | 1/4242 modes=strict
 * truth: shared drop | 1/4242
 * truth: file keep | clean modes=exit,find,stw
 * truth: file keep | 1/4242 modes=strict
 * truth: file drop | 1/4242
 * truth: copied keep | clean
 * truth: copied drop | 1/4242
 * truth: segment keep | clean modes=exit,find,stw
 * truth: segment drop | 1/4242
 * truth: chain keep | clean modes=exit,find,stw
 * truth: chain drop | 1/4242
 */
#include "truth.h"

#include <sys/mman.h>
#include <sys/shm.h>

enum { SIZE = 1 << 20 };

static char *map;

static char *more(int flags, int fd)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* System V's; gone with the last process. */
static char *segment(void)
{
	int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1)
		exit(SKIP);
	return p;
}

int main(int argc, char **argv)
{
	char *last;

	if (said(argc, argv, "shared")) {
		map = more(MAP_SHARED | MAP_ANONYMOUS, -1);
	} else if (said(argc, argv, "segment")) {
		map = segment();
	} else if (said(argc, argv, "file") || said(argc, argv, "copied")) {
		int fd = memfd_create("truth", MFD_CLOEXEC);

		MUST(fd >= 0 && !ftruncate(fd, SIZE));
		map = more(said(argc, argv, "file") ? MAP_SHARED : MAP_PRIVATE,
			fd);
		close(fd);
	} else {
		map = more(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	}
	last = map;
	/* A page without access between two keeps them apart. */
	for (int i = 0; i < 5 && said(argc, argv, "chain"); i++) {
		char *next = more(MAP_PRIVATE | MAP_ANONYMOUS, -1);

		mprotect(next, 4096, PROT_NONE);
		*(char **)(last + SIZE / 2) = next + 5000;
		last = next;
	}
	put(last + SIZE - 8, make(MARKER), 0);
	if (said(argc, argv, "drop"))
		memset(last + SIZE - 8, 0, 8);
	last = NULL;
	clobber();
	now();
	return 0;
}
