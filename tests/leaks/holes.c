/* SPDX-License-Identifier: MIT */
/*
 * Pages that can't be read inside what has to be looked at: an object, static
 * data, a stack, a mapping. What lies before and behind counts, nobody faults,
 * and the pages are as they were afterwards.
 *
 * truth: object keep | clean
 * truth: object drop | 1/4242
 * truth: data keep | clean
 * truth: data drop | 1/4242
 * truth: stack keep | clean
 * truth: stack drop | 1/4242
 */
#include "truth.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 9, HOLE = 4 };

void *root;
static char data[PAGES * PAGE] __attribute__((aligned(4096))) = {1};
static char *hole;
static sigjmp_buf back;

static void fault(int sig)
{
	siglongjmp(back, sig);
}

static NOINLINE void still_closed(void)
{
	signal(SIGSEGV, fault);
	if (!sigsetjmp(back, 1)) {
		*(volatile char *)hole = 1;
		MUST(!"the page was opened");
	}
	signal(SIGSEGV, SIG_DFL);
	clobber();
}

static NOINLINE void dig(char *p, bool keep)
{
	uintptr_t at = ((uintptr_t)p + PAGE - 1) & ~(uintptr_t)(PAGE - 1);

	hole = (char *)at + HOLE * PAGE;
	put((char *)at + 7 * PAGE + 8, make(MARKER), 0);
	if (!keep)
		memset((char *)at + 7 * PAGE + 8, 0, 8);
	MUST(!mprotect(hole, PAGE, PROT_NONE));
}

static NOINLINE void finish(void)
{
	clobber();
	now();
	still_closed();
	/* Libc goes on below this, and may use it. */
	MUST(!mprotect(hole, PAGE, PROT_READ | PROT_WRITE));
	now();
	MUST(!mprotect(hole, PAGE, PROT_NONE));
	exit(0);
}

static NOINLINE void on_stack(bool keep)
{
	char frame[(PAGES + 1) * PAGE];

	memset(frame, 0, sizeof(frame));
	dig(frame, keep);
	finish();
	MUST(!frame[0]);
}

int main(int argc, char **argv)
{
	bool keep = said(argc, argv, "keep");

	if (said(argc, argv, "stack"))
		on_stack(keep);
	if (said(argc, argv, "object")) {
		root = calloc(PAGES + 1, PAGE);
		dig(root, keep);
	} else {
		dig(data, keep);
	}
	finish();
	return 0;
}
