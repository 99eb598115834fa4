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
 */
struct park {
	/* Not 0: parked. All that the thread has in use lies at and above. */
	uintptr_t sp;
	int tid; /* the owner's; 0: nobody's */
	uint32_t creating; /* inside pthread_create */
	uintptr_t tcb; /* thread descriptor */
	uintptr_t alt_lo, alt_hi; /* alternate signal stack, or 0, 0 */
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
 * Come to rest at once, if the world is being stopped: for threads that our
 * signal has found in the allocator, when they leave it (stop_hook).
 */
void park_here(void);

/* The slow half of park_leave(): waits while the world is stopped. */
void park_wait(struct park *p);

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
	return p;
}

/*
 * Park, keeping arg (a pointer that the kernel will use, or 0) where the
 * collector looks. All callee-saved registers are in the caller's frame by
 * __builtin_unwind_init(). The asm has an operand in the frame, so the compiler
 * cannot do it before the frame is there. Its store is a release, like every
 * store of this machine's.
 */
#define PARK_ENTER(arg)                                                        \
	({                                                                     \
		struct park *park_ = park_record();                            \
		volatile __typeof__(arg) park_arg_ = (arg);                    \
                                                                               \
		__builtin_unwind_init();                                       \
		__asm__ volatile(".cfi_personality 0x1b, park_personality");   \
		if (likely(park_ != NULL))                                     \
			__asm__ volatile("movq %%rsp, %0"                      \
					 : "=m"(park_->sp)                     \
					 : "m"(park_arg_)                      \
					 : "memory");                          \
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
	if (unlikely(load_relaxed(&stw_word) & (STW_STOPPING | STW_FENCE)))
		park_wait(p);
}

/*
 * Around a handler of the program's: the thread may have been parked, but runs
 * now. Waits while the world is stopped. The result goes to park_resume().
 */
static inline uintptr_t park_interrupt(void)
{
	struct park *p = park_self;
	uintptr_t sp;

	if (!p)
		return 0;
	sp = load_relaxed(&p->sp);
	if (sp)
		park_leave(p);
	return sp;
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
