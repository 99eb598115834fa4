/* SPDX-License-Identifier: MIT */
/*
 * mark_avx2: four words at a time. There is no compress instruction; a table
 * of permutations by the comparison's four bits stands in for it.
 */
#pragma GCC target("avx2,bmi,bmi2,popcnt,lzcnt")

#include "gc/mark_kernel.h"

#include <immintrin.h>

/* Lanes of 32 bits: those of the set bits first. */
#define L(a, b, c, d)                                                          \
	{                                                                      \
		2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 2 * d,   \
			2 * d + 1                                              \
	}

static const uint32_t permutation[16][8] CACHE_ALIGNED = {L(0, 1, 2, 3),
	L(0, 1, 2, 3), L(1, 0, 2, 3), L(0, 1, 2, 3), L(2, 0, 1, 3),
	L(0, 2, 1, 3), L(1, 2, 0, 3), L(0, 1, 2, 3), L(3, 0, 1, 2),
	L(0, 3, 1, 2), L(1, 3, 0, 2), L(0, 1, 3, 2), L(2, 3, 0, 1),
	L(0, 2, 3, 1), L(1, 2, 3, 0), L(0, 1, 2, 3)};

RAW_MEMORY static ALWAYS_INLINE unsigned gather(
	struct filter f, uintptr_t p, size_t bytes, uint64_t *out, unsigned n)
{
	/* Only signed comparison exists: flip the top bit on both sides. */
	uint64_t top = (uint64_t)1 << 63;
	__m256i mask = _mm256_set1_epi64x((long long)f.mask);
	__m256i lo = _mm256_set1_epi64x((long long)f.lo);
	__m256i flip = _mm256_set1_epi64x((long long)top);
	__m256i range = _mm256_set1_epi64x((long long)(f.range ^ top));
	const char *at = (const char *)p, *end = at + bytes;

	for (; at + 32 <= end; at += 32) {
		__m256i v = _mm256_loadu_si256((const void *)at), less;
		unsigned k;

		v = _mm256_sub_epi64(_mm256_and_si256(v, mask), lo);
		less = _mm256_cmpgt_epi64(range, _mm256_xor_si256(v, flip));
		k = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(less));
		v = _mm256_permutevar8x32_epi32(
			v, _mm256_load_si256((const void *)permutation[k]));
		_mm256_storeu_si256((void *)(out + n), v);
		n += (unsigned)__builtin_popcount(k);
	}
	for (; at < end; at += 8) {
		uint64_t v;

		__builtin_memcpy(&v, at, 8);
		v = (v & f.mask) - f.lo;
		out[n] = v;
		n += v < f.range;
	}
	return n;
}

RAW_MEMORY static ALWAYS_INLINE bool skim(struct filter f, uintptr_t p)
{
	struct filter_upper u = filter_upper(f);
	__m256i mask = _mm256_set1_epi32((int)u.mask);
	__m256i lo = _mm256_set1_epi32((int)u.lo);
	__m256i last = _mm256_set1_epi32((int)u.last);
	__m256i any = _mm256_setzero_si256();

#pragma GCC unroll 16
	for (unsigned i = 0; i < MARK_STRIDE; i += 32) {
		__m256i v = _mm256_loadu_si256((const void *)(p + i));

		if (i % 64 == 0)
			mark_ahead(p + i);
		v = _mm256_sub_epi32(_mm256_and_si256(v, mask), lo);
		/* v <= last, unsigned. */
		v = _mm256_cmpeq_epi32(_mm256_min_epu32(v, last), v);
		any = _mm256_or_si256(any, v);
	}
	return !_mm256_testz_si256(any, any);
}

static void wipe(void)
{
	__asm__ volatile("vzeroall" : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			 "xmm12", "xmm13", "xmm14", "xmm15");
}

#define MARK_KERNEL mark_avx2
#define MARK_NAME "avx2"
#include "gc/mark_loop.h"
