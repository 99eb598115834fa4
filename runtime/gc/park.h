/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_PARK_H
#define GOSTAT_GC_PARK_H

#include "base/atomics.h"
#include "base/lock.h"

/*
 * park: threads inside blocking calls need not be disturbed to be at rest. See
 * park.c for the protocol. A wrapper of a blocking call looks like this:
 *
 *	ssize_t read(int fd, void *buf, size_t n)
 *	{
 *		struct park *p = PARK_ENTER(buf);
 *		ssize_t r = real.read(fd, buf, n);
 *
 *		park_leave(p);
 *		return r;
 *	}
 *
 * The call must not allocate.
 */
enum { PARK_NREGS = 6 }; /* rbx, rbp, r12 to r15 */

struct park {
	/* Not 0: parked. All that the thread has in use lies at and above. */
	uintptr_t sp;
	int tid; /* the owner's; 0: nobody's */
	uint32_t creating; /* inside pthread_create */
	uintptr_t bp; /* frame of the wrapper, which has the registers */
	uintptr_t tcb; /* thread descriptor */
	uintptr_t alt_lo, alt_hi; /* alternate signal stack, or 0, 0 */
	/* Inside vfork, where the child has the stack: what registers hold. */
	uintptr_t regs[PARK_NREGS];
	uint32_t nregs; /* of those that count; 0 or PARK_NREGS */
} CACHE_ALIGNED;

/* This thread's record; NULL before its first wrapped call. */
extern HIDDEN THREAD_LOCAL struct park *park_self;

/*
 * Is the world being stopped? Bits, and a number above that changes with every
 * stop. Also what threads at rest wait on.
 */
enum {
	STW_STOPPING = 1,
	STW_FENCE = 2, /* no membarrier: leaving a parked call needs a fence */
	STW_ONE = 4,
};
extern HIDDEN uint32_t stw_word CACHE_ALIGNED;

/* The thread that does it: never waits for itself. */
extern HIDDEN int stw_stopper;

/*
 * On, and which process may: before that, and in processes that share or copied
 * our memory, wrappers only call through.
 */
void park_enable(void);

/*
 * A record for this thread, or NULL: none to be had now, and the call is not
 * parked. Context: anywhere, signal handlers included.
 */
struct park *park_register(void);

/*
 * This thread will share its thread-local storage with another one (raw clone):
 * neither is parked any more.
 */
void park_abandon(void);

/*
 * The same while this thread waits in the kernel for its child (vfork): the
 * child is no thread of ours, whatever it calls. What comes back goes to
 * park_return(), in the parent alone. With regs, six registers and the stack
 * pointer, this thread is parked until then.
 */
struct park *park_lend(const uintptr_t regs[PARK_NREGS + 1]);
void park_return(struct park *p);

/* The kernel has a new alternate signal stack for this thread, or none. */
void park_altstack(uintptr_t lo, uintptr_t hi);

/*
 * Come to rest at once, if the world is being stopped: for threads that our
 * signal has found in the allocator, when they leave it (stop_hook).
 */
void park_here(void);

/*
 * The slow halves of what follows: they wait while the world is stopped, on the
 * way into a call (with its sp), and out of it.
 */
void park_hold(struct park *p, uintptr_t sp);
void park_wait(struct park *p);

/*
 * Before a handler of the program's: the thread may have been parked, but runs
 * now. Returns what park_resume() takes, should the handler come back.
 */
uintptr_t park_interrupt(void);

/*
 * What the unwinder calls for a frame with a parked call in it: the thread is
 * cancelled, or an exception passes, and the frame will not come back.
 */
int park_personality(int version, int actions, uint64_t class, void *exception,
	void *context);

static ALWAYS_INLINE struct park *park_record(void)
{
	struct park *p = park_self;

	if (unlikely(!p))
		p = park_register();
	/* A signal handler, inside malloc: objects may be in no place. */
	if (unlikely(stop_deferred))
		p = NULL;
	if (likely(p != NULL)) /* inlined: of the function around */
		p->bp = (uintptr_t)__builtin_frame_address(0);
	return p;
}

static ALWAYS_INLINE uintptr_t park_sp(void)
{
	uintptr_t sp;

	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	return sp;
}

/* A stop is under way, or fences are asked for. */
static ALWAYS_INLINE bool park_slow(void)
{
	return unlikely(
		load_relaxed(&stw_word) & (STW_STOPPING | STW_FENCE));
}

/*
 * Park, keeping arg (a variable with pointers that the kernel will use) where
 * the collector looks. All callee-saved registers are in the caller's frame by
 * __builtin_unwind_init(). The asm has an operand in the frame, so the compiler
 * cannot do it before the frame is there. Its store is a release, like every
 * store of this machine's.
 *
 * Who finds the world being stopped waits here: our signal, if it is on its way
 * to this thread, must not find it inside the call.
 */
#define PARK_ENTER(arg)                                                        \
	({                                                                     \
		struct park *park_ = park_record();                            \
                                                                               \
		__builtin_unwind_init();                                       \
		__asm__ volatile(".cfi_personality 0x1b, park_personality");   \
		if (likely(park_ != NULL)) {                                   \
			__asm__ volatile("movq %%rsp, %0"                      \
					 : "=m"(park_->sp)                     \
					 : "m"(arg)                            \
					 : "memory");                          \
			if (park_slow())                                       \
				park_hold(park_, park_sp());                   \
		}                                                              \
		park_;                                                         \
	})

static ALWAYS_INLINE void park_leave(struct park *p)
{
	if (unlikely(!p))
		return;
	/*
	 * Stores sp, then loads stw_word. The stopper stores stw_word, then
	 * loads sp, with a membarrier between: one of us sees the other.
	 */
	signal_fence();
	store_relaxed(&p->sp, 0);
	signal_fence();
	if (park_slow())
		park_wait(p);
}

/* The handler returns: the interrupted call goes on, or ends with EINTR. */
static inline void park_resume(uintptr_t sp)
{
	if (sp)
		store_relaxed(&park_self->sp, sp);
}

/*
 * For the stopper: every record, in no order. Lock-free; a record may change
 * hands meanwhile, but sp is 0 then.
 */
struct park *park_next(struct park *p);

/* fork: in the child only the caller is left. */
void park_postfork_child(void);

#endif
