/* SPDX-License-Identifier: MIT */
/* mark_scalar: one word at a time, for every x86-64. */
#include "gc/mark_kernel.h"

RAW_MEMORY static ALWAYS_INLINE unsigned gather(
	struct filter f, uintptr_t p, size_t bytes, uint64_t *out, unsigned n)
{
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t v;

		__builtin_memcpy(&v, (const void *)(p + i), 8);
		v = (v & f.mask) - f.lo;
		out[n] = v;
		n += v < f.range;
	}
	return n;
}

/* To look is as much work as to gather. */
static ALWAYS_INLINE bool skim(struct filter f, uintptr_t p)
{
	(void)f;
	for (unsigned i = 0; i < MARK_STRIDE; i += 64)
		mark_ahead(p + i);
	return true;
}

/* No vector register is used here. */
static void wipe(void)
{
}

#define MARK_KERNEL mark_scalar
#define MARK_NAME "scalar"
#include "gc/mark_loop.h"
