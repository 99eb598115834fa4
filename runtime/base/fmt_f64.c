/* SPDX-License-Identifier: MIT */
/*
 * fmt_f64: the shortest decimal that reads back as the same double.
 *
 * Steele and White's free-format algorithm with exact integers ("Dragon4"):
 * v lies between its neighbours, and digits are produced until what is written
 * is nearer to v than to either.
 *
 *	 low           v              high
 *	--|------------|---------------|--	v = r/s, low = v - below/s,
 *	   <- below/s -> <-- above/s -->	high = v + above/s
 *
 * Invariants:
 *   I1  before each digit 0 <= r < s, in units of the digit to come;
 *   I2  the ends belong to the interval when the mantissa is even, because
 *       reading rounds halves to even;
 *   I3  no number exceeds WORDS words: the largest is 2^1074 * 4 * 10.
 *
 * Speed does not matter here (20 microseconds at the ends of the range, well
 * under one in the middle), size and certainty do: no tables, no libc, 600
 * bytes of stack, so it also runs in a signal handler.
 *
 * Rejected: Ryu and Grisu (kilobytes of tables, or a fallback that is this
 * algorithm anyway); printf with rising precision (stdio, locale, and it misses
 * the shortest where that is not the correctly rounded prefix).
 */
#include "base/fmt.h"

#include <string.h>

enum {
	WORDS = 36,	 /* 1152 bits; the largest number has 1081 */
	DIGITS_MAX = 17, /* shortest never needs more */
	MANTISSA_BITS = 52,
	EXPONENT_MASK = 0x7ff,
	EXPONENT_BIAS = 1075, /* of the mantissa read as an integer */
};

/* Little endian; words at and above n are not looked at. */
struct big {
	unsigned n;
	uint32_t w[WORDS];
};

/* Digits of the value 0.d1d2d3... * 10^point. */
struct decimal {
	unsigned n;
	int point;
	char d[DIGITS_MAX];
};

/* b = v << shift */
static void big_set(struct big *b, uint64_t v, unsigned shift)
{
	unsigned __int128 x = (unsigned __int128)v << shift % 32;
	unsigned word = shift / 32;

	memset(b->w, 0, word * sizeof(b->w[0]));
	for (b->n = word; x; x >>= 32)
		b->w[b->n++] = (uint32_t)x;
}

static void big_times10(struct big *b)
{
	uint64_t carry = 0;

	for (unsigned i = 0; i < b->n; i++) {
		carry += (uint64_t)b->w[i] * 10;
		b->w[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry)
		b->w[b->n++] = (uint32_t)carry;
}

static int big_compare(const struct big *a, const struct big *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (unsigned i = a->n; i-- > 0;)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}

/* a += b */
static void big_add(struct big *a, const struct big *b)
{
	uint64_t carry = 0;

	while (a->n < b->n)
		a->w[a->n++] = 0;
	for (unsigned i = 0; i < a->n; i++) {
		carry += (uint64_t)a->w[i] + (i < b->n ? b->w[i] : 0);
		a->w[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry)
		a->w[a->n++] = (uint32_t)carry;
}

/* a -= b, for a >= b */
static void big_sub(struct big *a, const struct big *b)
{
	int64_t borrow = 0;

	for (unsigned i = 0; i < a->n; i++) {
		borrow += (int64_t)a->w[i] - (i < b->n ? b->w[i] : 0);
		a->w[i] = (uint32_t)borrow;
		borrow >>= 32;
	}
	while (a->n && !a->w[a->n - 1])
		a->n--;
}

/* v as fractions of s; see the picture above. */
struct interval {
	struct big r, s, above, below;
	bool closed; /* the ends read back as v too */
};

static void interval_init(struct interval *iv, uint64_t bits)
{
	unsigned biased = bits >> MANTISSA_BITS & EXPONENT_MASK;
	uint64_t m = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
	/* The neighbour below a power of two is only half as far. */
	unsigned uneven = m == 0 && biased > 1;
	int e = (int)(biased ? biased : 1) - EXPONENT_BIAS;
	unsigned up = e > 0 ? (unsigned)e : 0;
	unsigned down = e < 0 ? (unsigned)-e : 0;

	m |= biased ? UINT64_C(1) << MANTISSA_BITS : 0;
	iv->closed = !(m & 1);
	big_set(&iv->r, m, up + 1 + uneven);
	big_set(&iv->s, 1, down + 1 + uneven);
	big_set(&iv->above, 1, up + uneven);
	big_set(&iv->below, 1, up);
}

static void interval_times10(struct interval *iv)
{
	big_times10(&iv->r);
	big_times10(&iv->above);
	big_times10(&iv->below);
}

/* Does r/s reach the high end of what v may be, times what is in s? */
static bool reaches(const struct interval *iv)
{
	struct big high = iv->r;
	int order;

	big_add(&high, &iv->above);
	order = big_compare(&high, &iv->s);
	return order > 0 || (order == 0 && iv->closed);
}

static unsigned next_digit(struct interval *iv)
{
	unsigned digit = 0;

	interval_times10(iv);
	for (; big_compare(&iv->r, &iv->s) >= 0; digit++)
		big_sub(&iv->r, &iv->s);
	return digit;
}

/* The last digit may be one higher: which of the two is nearer to v? */
static bool round_up(struct interval *iv, unsigned digit)
{
	struct big twice = iv->r;
	int order;

	big_add(&twice, &iv->r);
	order = big_compare(&twice, &iv->s);
	return order > 0 || (order == 0 && digit % 2);
}

/* The shortest digits of a finite value other than 0. */
static void shortest(struct decimal *d, uint64_t bits)
{
	struct interval iv;
	bool low, high;

	interval_init(&iv, bits);
	*d = (struct decimal){0};
	for (; reaches(&iv); d->point++)
		big_times10(&iv.s);
	for (;;) {
		struct interval next = iv;

		interval_times10(&next);
		if (reaches(&next))
			break;
		iv = next;
		d->point--;
	}
	do {
		unsigned digit = next_digit(&iv);
		int order = big_compare(&iv.r, &iv.below);

		low = order < 0 || (order == 0 && iv.closed);
		high = reaches(&iv);
		if (high && (!low || round_up(&iv, digit)))
			digit++;
		d->d[d->n++] = (char)('0' + digit);
	} while (!low && !high);
}

static void zeros(struct fmt *f, int n)
{
	while (n-- > 0)
		fmt_char(f, '0');
}

/* 123, 120000, 1.23, 0.00123 */
static void plain(struct fmt *f, const struct decimal *d)
{
	int n = (int)d->n;

	if (d->point <= 0) {
		fmt_str(f, "0.");
		zeros(f, -d->point);
		fmt_mem(f, d->d, d->n);
	} else if (d->point >= n) {
		fmt_mem(f, d->d, d->n);
		zeros(f, d->point - n);
	} else {
		fmt_mem(f, d->d, (size_t)d->point);
		fmt_char(f, '.');
		fmt_mem(f, d->d + d->point, (size_t)(n - d->point));
	}
}

/* 1.23e+07; width: least number of exponent digits */
static void scientific(struct fmt *f, const struct decimal *d, int width)
{
	int e = d->point - 1;

	fmt_char(f, d->d[0]);
	if (d->n > 1) {
		fmt_char(f, '.');
		fmt_mem(f, d->d + 1, d->n - 1);
	}
	fmt_str(f, e < 0 ? "e-" : "e+");
	fmt_printf(f, "%0*d", width, e < 0 ? -e : e);
}

/* The exponent form is used below 10^least and from 10^most on. */
static void put(struct fmt *f, double v, int least, int most, int width)
{
	struct decimal d;
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (bits >> 63)
		fmt_char(f, '-');
	bits &= INT64_MAX;
	if (!bits) {
		fmt_char(f, '0');
		return;
	}
	shortest(&d, bits);
	if (d.point - 1 < least || d.point - 1 >= most)
		scientific(f, &d, width);
	else
		plain(f, &d);
}

void fmt_f64(struct fmt *f, double v)
{
	if (v != v)
		fmt_str(f, "NaN");
	else if (v - v != 0)
		fmt_str(f, v > 0 ? "+Inf" : "-Inf");
	else
		put(f, v, -4, 6, 2);
}

void fmt_f64_json(struct fmt *f, double v)
{
	put(f, v, -6, 21, 1);
}
