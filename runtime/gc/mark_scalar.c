/* SPDX-License-Identifier: MIT */
/* mark_scalar: one word at a time but in skim(), for every x86-64. */
#include "gc/mark_kernel.h"

#include <emmintrin.h>

RAW_MEMORY static ALWAYS_INLINE unsigned gather_look(struct filter f,
	uintptr_t p, size_t bytes, uint64_t *out, unsigned n, bool *between)
{
	struct filter_upper u = filter_upper(f);

	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t v;

		__builtin_memcpy(&v, (const void *)(p + i), 8);
		*between |= ((uint32_t)v & u.mask) - u.lo <= u.last;
		v = (v & f.mask) - f.lo;
		out[n] = v;
		n += v < f.range;
	}
	return n;
}

RAW_MEMORY static ALWAYS_INLINE unsigned gather(
	struct filter f, uintptr_t p, size_t bytes, uint64_t *out, unsigned n)
{
	bool between = false;

	return gather_look(f, p, bytes, out, n, &between);
}

/* With SSE2, which every x86-64 has. */
RAW_MEMORY static ALWAYS_INLINE bool skim(struct filter f, uintptr_t p)
{
	struct filter_upper u = filter_upper(f);
	/* Only signed comparison exists: flip the top bit on both sides. */
	uint32_t top = (uint32_t)1 << 31;
	__m128i mask = _mm_set1_epi32((int)u.mask);
	__m128i lo = _mm_set1_epi32((int)(u.lo + top));
	__m128i last = _mm_set1_epi32((int)(u.last ^ top));
	__m128i out = _mm_set1_epi32(-1);

	for (unsigned i = 0; i < MARK_STRIDE; i += 16) {
		__m128i v = _mm_loadu_si128((const void *)(p + i));

		if (i % 64 == 0)
			mark_ahead(p + i);
		v = _mm_sub_epi32(_mm_and_si128(v, mask), lo);
		out = _mm_and_si128(out, _mm_cmpgt_epi32(v, last));
	}
	return _mm_movemask_epi8(out) != 0xffff;
}

static void wipe(void)
{
	__asm__ volatile("pxor %%xmm0, %%xmm0\n\t"
			 "pxor %%xmm1, %%xmm1\n\t"
			 "pxor %%xmm2, %%xmm2\n\t"
			 "pxor %%xmm3, %%xmm3\n\t"
			 "pxor %%xmm4, %%xmm4\n\t"
			 "pxor %%xmm5, %%xmm5\n\t"
			 "pxor %%xmm6, %%xmm6\n\t"
			 "pxor %%xmm7, %%xmm7\n\t"
			 "pxor %%xmm8, %%xmm8\n\t"
			 "pxor %%xmm9, %%xmm9\n\t"
			 "pxor %%xmm10, %%xmm10\n\t"
			 "pxor %%xmm11, %%xmm11\n\t"
			 "pxor %%xmm12, %%xmm12\n\t"
			 "pxor %%xmm13, %%xmm13\n\t"
			 "pxor %%xmm14, %%xmm14\n\t"
			 "pxor %%xmm15, %%xmm15"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			 "xmm12", "xmm13", "xmm14", "xmm15");
}

#define MARK_KERNEL mark_scalar
#define MARK_NAME "scalar"
#include "gc/mark_loop.h"
