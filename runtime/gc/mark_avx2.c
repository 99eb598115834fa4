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

/* Eight halves of words, less lo. */
static ALWAYS_INLINE __m256i halves(struct filter_upper u, __m256i v)
{
	return _mm256_sub_epi32(
		_mm256_and_si256(v, _mm256_set1_epi32((int)u.mask)),
		_mm256_set1_epi32((int)u.lo));
}

/* Bytes of those that are at most u.last: there is no unsigned comparison. */
static ALWAYS_INLINE unsigned in_range(struct filter_upper u, __m256i v)
{
	__m256i last = _mm256_set1_epi32((int)u.last);

	return (unsigned)_mm256_movemask_epi8(
		_mm256_cmpeq_epi32(_mm256_min_epu32(v, last), v));
}

RAW_MEMORY static ALWAYS_INLINE unsigned gather_look(struct filter f,
	uintptr_t p, size_t bytes, uint64_t *out, unsigned n, bool *between)
{
	enum { LOWER = 0x0f0f0f0f };
	struct filter_upper u = filter_upper(f);
	/* Only signed comparison exists: flip the top bit on both sides. */
	uint64_t top = (uint64_t)1 << 63;
	__m256i mask = _mm256_set1_epi64x((long long)f.mask);
	__m256i lo = _mm256_set1_epi64x((long long)f.lo);
	__m256i flip = _mm256_set1_epi64x((long long)top);
	__m256i range = _mm256_set1_epi64x((long long)(f.range ^ top));
	__m256i least = _mm256_set1_epi32(-1);
	const char *at = (const char *)p, *end = at + bytes;

	for (; at + 32 <= end; at += 32) {
		__m256i v = _mm256_loadu_si256((const void *)at), less;
		unsigned k;

		least = _mm256_min_epu32(least, halves(u, v));
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
		*between |= ((uint32_t)v & u.mask) - u.lo <= u.last;
		v = (v & f.mask) - f.lo;
		out[n] = v;
		n += v < f.range;
	}
	*between |= (in_range(u, least) & LOWER) != 0;
	return n;
}

RAW_MEMORY static ALWAYS_INLINE unsigned gather(
	struct filter f, uintptr_t p, size_t bytes, uint64_t *out, unsigned n)
{
	bool between = false;

	return gather_look(f, p, bytes, out, n, &between);
}

RAW_MEMORY static ALWAYS_INLINE bool skim(struct filter f, uintptr_t p)
{
	struct filter_upper u = filter_upper(f);
	__m256i least = _mm256_set1_epi32(-1);

#pragma GCC unroll 16
	for (unsigned i = 0; i < MARK_STRIDE; i += 32) {
		__m256i v = _mm256_loadu_si256((const void *)(p + i));

		if (i % 64 == 0)
			mark_ahead(p + i);
		least = _mm256_min_epu32(least, halves(u, v));
	}
	return in_range(u, least) != 0;
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
