/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_ATOMICS_H
#define GOSTAT_BASE_ATOMICS_H

/*
 * Atomic operations with the order in their name, as in mimalloc.
 *
 * They work on plain objects (GCC builtins), so that a field may be written
 * plainly by its owner and read with load_relaxed() by a snapshot. Rule: every
 * acquire or release carries a [tag] in a comment, and the same tag stands at
 * its partner.
 */

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define or_relaxed(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define and_relaxed(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define xchg_relaxed(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELAXED)
#define xchg_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define xchg_release(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELEASE)
#define xchg_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

#define cas_acquire(p, expected, v)                                            \
	__atomic_compare_exchange_n(                                           \
		(p), (expected), (v), 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define cas_release(p, expected, v)                                            \
	__atomic_compare_exchange_n(                                           \
		(p), (expected), (v), 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cas_relaxed(p, expected, v)                                            \
	__atomic_compare_exchange_n(                                           \
		(p), (expected), (v), 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/*
 * Single-writer counters: the owner adds without a locked instruction, any
 * reader sees a whole value.
 */
#define own_add(p, v) store_relaxed((p), load_relaxed(p) + (v))

/*
 * For the hit paths, where an instruction counts: x86 subtracts from memory, or
 * compares with it, in one instruction that is as whole as a relaxed load or
 * store, but GCC does not make one of those. So these are plain, save where
 * ThreadSanitizer has to be told.
 */
#ifdef __SANITIZE_THREAD__
#define hot_load(p) load_relaxed(p)
#define hot_store(p, v) store_relaxed((p), (v))
#define hot_dec(p) (store_relaxed((p), *(p)-1), *(p))
#else
#define hot_load(p) (*(p))
#define hot_store(p, v) (*(p) = (v))
#define hot_dec(p) (--*(p))
#endif

/* Order against a signal handler on the same thread: the compiler only. */
#define signal_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

#endif
