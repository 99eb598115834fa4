/* SPDX-License-Identifier: MIT */
/*
 * mark_avx512: eight words at a time. vpcompressq puts the candidates side by
 * side in a register; the form that writes to memory is microcoded on some
 * CPUs, so a whole register is stored and the index moves by their number.
 */
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,bmi,bmi2,popcnt,lzcnt")

#include "gc/mark_kernel.h"

#include <immintrin.h>

RAW_MEMORY static ALWAYS_INLINE unsigned gather(
	struct filter f, uintptr_t p, size_t bytes, uint64_t *out, unsigned n)
{
	__m512i mask = _mm512_set1_epi64((long long)f.mask);
	__m512i lo = _mm512_set1_epi64((long long)f.lo);
	__m512i range = _mm512_set1_epi64((long long)f.range);
	const char *at = (const char *)p, *end = at + bytes;

	for (; at + 64 <= end; at += 64) {
		__m512i v = _mm512_loadu_si512(at);
		__mmask8 k;

		v = _mm512_sub_epi64(_mm512_and_si512(v, mask), lo);
		k = _mm512_cmplt_epu64_mask(v, range);
		_mm512_storeu_si512(out + n, _mm512_maskz_compress_epi64(k, v));
		n += (unsigned)__builtin_popcount(k);
	}
	if (at < end) {
		__mmask8 in = (__mmask8)((1u << (end - at) / 8) - 1), k;
		__m512i v = _mm512_maskz_loadu_epi64(in, at);

		v = _mm512_sub_epi64(_mm512_and_si512(v, mask), lo);
		k = _mm512_mask_cmplt_epu64_mask(in, v, range);
		_mm512_storeu_si512(out + n, _mm512_maskz_compress_epi64(k, v));
		n += (unsigned)__builtin_popcount(k);
	}
	return n;
}

RAW_MEMORY static ALWAYS_INLINE bool skim(struct filter f, uintptr_t p)
{
	__m512i mask = _mm512_set1_epi64((long long)f.mask);
	__m512i lo = _mm512_set1_epi64((long long)f.lo);
	__m512i range = _mm512_set1_epi64((long long)f.range);
	__mmask8 k = 0;

#pragma GCC unroll 8
	for (unsigned i = 0; i < MARK_STRIDE; i += 64) {
		__m512i v = _mm512_loadu_si512((const void *)(p + i));

		mark_ahead(p + i);
		v = _mm512_sub_epi64(_mm512_and_si512(v, mask), lo);
		k = _kor_mask8(k, _mm512_cmplt_epu64_mask(v, range));
	}
	return k != 0;
}

#define MARK_KERNEL mark_avx512
#define MARK_NAME "avx512"
#include "gc/mark_loop.h"
