/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_STW_H
#define GOSTAT_GC_STW_H

#include "base/attrs.h"

/*
 * stw: bring every thread of the program to rest, and know where each stands.
 *
 *	struct stw *w = &stw;
 *
 *	if (stw_stop(w, limit_ns) == STW_OK) {
 *		... memory does not change, see the exceptions in w->n* ...
 *		stw_start(w);
 *	}
 *
 * Between the two calls the caller must not allocate from the heap, take any
 * lock of libc's or of the loader's, or take a lock of ours that threads of the
 * program take: its holder may be at rest. System calls are fine.
 */

/* How a thread was brought to rest; the last five from best to worst. */
enum stw_how {
	STW_NEW = 0, /* these three only while stopping */
	STW_ASKED,
	STW_AGAIN, /* was in the allocator; asked once more in a moment */
	STW_GONE,  /* ended meanwhile: nothing to look at */
	STW_PARKED, /* inside a wrapped call; waits on its way out */
	STW_SIGNAL, /* waits in the handler of our signal */
	STW_TRACED, /* held by ptrace */
	/*
	 * Inside the kernel and bound to enter our handler before anything
	 * else (vfork, a dead NFS server): at rest, but its callee-saved
	 * registers cannot be read.
	 */
	STW_BLOCKED,
	/* Refuses our signal and can't be traced: not at rest at all. */
	STW_RUNNING,
};

struct stw_thread {
	int tid;
	uint32_t how;  /* enum stw_how */
	uint32_t word; /* stw_word of the stop in which it was asked */
	/*
	 * Lowest address in use on the stack that the thread is on; all
	 * registers lie above it, or in regs. 0: not known, take all of it.
	 */
	uintptr_t sp;
	/*
	 * STW_SIGNAL: the stack pointer of what our handler has interrupted,
	 * less the red zone; registers lie below, from sp on. The handler may
	 * run on an alternate stack, [sp, alt_hi) then. Else 0.
	 */
	uintptr_t interrupted_sp;
	const void *context; /* STW_SIGNAL: the ucontext_t it was given */
	uintptr_t pc;	     /* STW_BLOCKED: where it goes on */
	uintptr_t bp;	     /* STW_PARKED: the wrapper's frame, above sp */
	/* The alternate signal stack that the kernel holds for it; or 0, 0. */
	uintptr_t alt_lo, alt_hi;
	/* Thread descriptor (what %fs points to); 0: not known. */
	uintptr_t tcb;
	/* In the middle of pthread_create: a stack without a thread exists. */
	bool creating;
	uint8_t tries; /* times that our signal found it in a hit path */
	uint64_t ran_ns; /* time on a CPU when first found with a mask */
	/*
	 * Registers that lie on no stack of the program: all of them for
	 * STW_TRACED, the arguments of the system call for STW_BLOCKED.
	 */
	const uintptr_t *regs;
	size_t nregs;
	uintptr_t args[6]; /* room for the latter */
};

/* Everything known about one stop. Lives in stw.c, there is only one world. */
struct stw {
	/* The caller's own: rbx, rbp, r12 to r15, then its stack pointer. */
	uintptr_t self_regs[6];
	uintptr_t self_sp;
	uintptr_t self_tcb;
	int self_tid;
	bool self_hidden; /* the caller is the library's helper: no roots */

	unsigned n; /* threads other than the caller, STW_GONE included */
	/* By how. With blocked ones, pointers in registers are missed; with
	 * running ones, the snapshot may be torn. */
	unsigned nparked, nsignal, ntraced, nblocked, nrunning;
	int64_t stopped_ns; /* monotonic clock: when the first was asked */
	int64_t rest_ns;    /* when the last was at rest */
};

enum stw_result {
	STW_OK,
	STW_NO_THREADS, /* /proc can't be read: who is there? */
	STW_NO_MEMORY,
	STW_NO_SIGNAL, /* the handler can't be installed (seccomp) */
	STW_LATE, /* a thread did not get there in time: ask again later */
};

/*
 * Stop the world. On STW_OK every thread but the caller and the library's
 * helper is at rest, none of them holds a lock of ours or is inside a slow path
 * of the allocator, and *w says where each one stands. (One may be inside a hit
 * path, if it is found there again and again: the object that is about to
 * change hands is then still in the magazine, or in a register.) On every other
 * result the world runs on. limit_ns bounds the time from the first thread
 * stopped to the last; 0 means STW_LIMIT_NS.
 *
 * Holds stw.lock (LOCK_STW) and blocks those of the caller's signals that have
 * handlers until stw_start().
 * Context: any thread, no lock of ours held but LOCK_GC, not in a signal
 * handler that interrupted the allocator.
 */
enum stw_result stw_stop(struct stw *w, int64_t limit_ns);
#define STW_LIMIT_NS INT64_C(200000000) /* 10 scheduler slices on a busy CPU */

/* Let everybody go. */
void stw_start(struct stw *w);

/* The i-th thread, i < w->n. Valid until the next stw_stop(), and in the
 * snapshot's child. */
const struct stw_thread *stw_thread(const struct stw *w, unsigned i);

/* "cannot list the threads" and so on, for messages. */
const char *stw_why(enum stw_result r);

/*
 * Before exec: no stop until stw_unlock(), or for ever. A signal of ours that
 * has been sent to a thread in exec would be the new program's, and its end.
 * False: a stop is under way (try again), or stw_concerned() says no: this is
 * the child of a vfork, a sandbox, or the thread itself has stopped the world
 * or was interrupted with a lock of ours. Context: signal handlers too.
 */
bool stw_concerned(void);
bool stw_trylock(void);
void stw_unlock(void);

/* At load: whose threads are meant. */
void stw_init(void);

/*
 * Around fork, outermost: no stop while a fork is under way, and no stop is
 * inherited. In the child the caller's park record gets its new owner.
 */
void stw_prefork(void);
void stw_postfork_parent(void);
void stw_postfork_child(void);

/*
 * Does this signal handler call park_interrupt() before anything else? While
 * there is one that does not, no thread is believed to be parked. Set by who
 * knows; NULL: all do.
 */
extern HIDDEN bool (*stw_handler_hook)(uintptr_t handler);

/* For tests: make one way of stopping unavailable. */
enum {
	STW_NO_MEMBARRIER = 1, /* parked threads are not believed at first */
	STW_NO_PTRACE = 2,
	STW_NO_PARK = 4, /* everybody gets the signal */
};
extern unsigned stw_without;

#endif
