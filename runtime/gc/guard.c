/* SPDX-License-Identifier: MIT */
/*
 * guard: reading what the program has protected.
 *
 * Programs put guard pages into their heap (mprotect on what memalign gave),
 * map files that others cut short, and so on; the tables of roots and the heap
 * view can't know all of that. So the marker reads, and where that faults:
 *
 *	SIGSEGV   make the page readable, go on; remember to close it again
 *	again, or SIGBUS   there is nothing to read: put a page of zeroes there
 *
 * In the copy the address space is ours to ruin. In place the second case
 * replaces a page whose every use would have killed the program.
 *
 * All signals are blocked in the copy. A fault of a blocked signal is the end,
 * so the two are unblocked; nobody sends them while the world is at rest.
 */
#include "gc/guard.h"
#include "base/atomics.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <signal.h>
#include <sys/mman.h>

enum {
	OPENED = 1024, /* pages that can be closed again */
	SIGSET = 8,    /* bytes of the kernel's signal set */
	RESTORER = 0x04000000,
};

/* The kernel's struct sigaction. */
struct ksigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static struct guard {
	bool copy;
	struct ksigaction segv, bus; /* the program's */
	uint64_t mask;
	uint32_t nopened;
	uintptr_t opened[OPENED];
	uintptr_t last; /* page of the last fault */
} guard;

__asm__(".text\n"
	".type guard_return, @function\n"
	"guard_return:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	".size guard_return, . - guard_return\n");
extern void guard_return(void) HIDDEN;

/*
 * SA_NODEFER is not needed: each fault is fixed before the handler returns.
 * Marking threads may fault at once; each fixes its own page, and a page twice
 * is harmless.
 */
static void on_fault(int sig, siginfo_t *info, void *context UNUSED)
{
	uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(OS_PAGE - 1);
	bool again = xchg_relaxed(&guard.last, page) == page;

	if (sig == SIGSEGV && !again &&
		!sys_failed(sys3(SYS_mprotect, page, OS_PAGE, PROT_READ))) {
		uint32_t i = add_relaxed(&guard.nopened, 1);

		if (i < OPENED)
			guard.opened[i] = page;
		return;
	}
	if (sys_failed(sys6(SYS_mmap, (long)page, OS_PAGE, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)))
		sys1(SYS_exit_group, 127); /* no address at all: give up */
}

static void set_action(
	int sig, const struct ksigaction *new, struct ksigaction *old)
{
	sys4(SYS_rt_sigaction, sig, new, old, SIGSET);
}

void guard_begin(bool copy)
{
	struct ksigaction a = {
		on_fault, SA_SIGINFO | RESTORER, guard_return, 0};
	uint64_t both = 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1);

	guard.copy = copy;
	guard.nopened = 0;
	guard.last = 0;
	set_action(SIGSEGV, &a, &guard.segv);
	set_action(SIGBUS, &a, &guard.bus);
	sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &both, &guard.mask, SIGSET);
}

void guard_end(void)
{
	uint32_t n = MIN(guard.nopened, (uint32_t)OPENED);

	if (guard.copy)
		return;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &guard.mask, NULL, SIGSET);
	set_action(SIGSEGV, &guard.segv, NULL);
	set_action(SIGBUS, &guard.bus, NULL);
	while (n-- > 0)
		sys3(SYS_mprotect, guard.opened[n], OS_PAGE, PROT_NONE);
}
