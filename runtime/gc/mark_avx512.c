/* SPDX-License-Identifier: MIT */
/*
 * mark_avx512: eight words at a time. vpcompressq puts the candidates side by
 * side in a register; the form that writes to memory is microcoded on some
 * CPUs, so a whole register is stored and the index moves by their number.
 */
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,bmi,bmi2,popcnt,lzcnt")

#include "gc/mark_kernel.h"

#include <immintrin.h>

/* Sixteen halves of words, less lo. */
static ALWAYS_INLINE __m512i halves(struct filter_upper u, __m512i v)
{
	return _mm512_sub_epi32(
		_mm512_and_si512(v, _mm512_set1_epi32((int)u.mask)),
		_mm512_set1_epi32((int)u.lo));
}

RAW_MEMORY static ALWAYS_INLINE unsigned gather_look(struct filter f,
	uintptr_t p, size_t bytes, uint64_t *out, unsigned n, bool *between)
{
	enum { LOWER = 0x5555 };
	struct filter_upper u = filter_upper(f);
	__m512i mask = _mm512_set1_epi64((long long)f.mask);
	__m512i lo = _mm512_set1_epi64((long long)f.lo);
	__m512i range = _mm512_set1_epi64((long long)f.range);
	__m512i last = _mm512_set1_epi32((int)u.last);
	__m512i least = _mm512_set1_epi32(-1);
	const char *at = (const char *)p, *end = at + bytes;

	for (; at + 64 <= end; at += 64) {
		__m512i v = _mm512_loadu_si512(at);
		__mmask8 k;

		least = _mm512_min_epu32(least, halves(u, v));
		v = _mm512_sub_epi64(_mm512_and_si512(v, mask), lo);
		k = _mm512_cmplt_epu64_mask(v, range);
		_mm512_storeu_si512(out + n, _mm512_maskz_compress_epi64(k, v));
		n += (unsigned)__builtin_popcount(k);
	}
	if (at < end) {
		__mmask8 in = (__mmask8)((1u << (end - at) / 8) - 1), k;
		__m512i v = _mm512_maskz_loadu_epi64(in, at);

		least = _mm512_min_epu32(least, halves(u, v));
		v = _mm512_sub_epi64(_mm512_and_si512(v, mask), lo);
		k = _mm512_mask_cmplt_epu64_mask(in, v, range);
		_mm512_storeu_si512(out + n, _mm512_maskz_compress_epi64(k, v));
		n += (unsigned)__builtin_popcount(k);
	}
	*between |= _mm512_mask_cmple_epu32_mask(LOWER, least, last) != 0;
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
	__m512i last = _mm512_set1_epi32((int)u.last);
	__mmask16 k = 0;

#pragma GCC unroll 4
	for (unsigned i = 0; i < MARK_STRIDE; i += 64) {
		__m512i v = _mm512_loadu_si512((const void *)(p + i));

		mark_ahead(p + i);
		k = _kor_mask16(
			k, _mm512_cmple_epu32_mask(halves(u, v), last));
	}
	return k != 0;
}

static void wipe(void)
{
#define ZERO(n) "vpxord	%%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n	"
	__asm__ volatile(ZERO(16) ZERO(17) ZERO(18) ZERO(19) ZERO(20) ZERO(21)
			 ZERO(22) ZERO(23) ZERO(24) ZERO(25) ZERO(26) ZERO(27)
			 ZERO(28) ZERO(29) ZERO(30) ZERO(31) "vzeroall"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			 "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17",
			 "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
			 "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",
			 "xmm30", "xmm31");
#undef ZERO
}

#define MARK_KERNEL mark_avx512
#define MARK_NAME "avx512"
#include "gc/mark_loop.h"
