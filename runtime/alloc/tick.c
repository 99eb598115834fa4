/* SPDX-License-Identifier: MIT */
/*
 * tick: what happens every so many mallocs of a class.
 *
 * The countdown of an mcache record does three jobs with one decrement: it
 * counts mallocs exactly (loaded - left), it gives the scavenger and the
 * trimming of magazines a chance to run, and it finds the next heap-profile
 * sample:
 *
 *	left       n n-1 ... 1 0 | tick: load min(TICK, sample_left)
 *	sample_left                at 0 the malloc at hand is a sample
 *
 * Sampling is Go's Poisson process over bytes with mean rate: an object of s
 * bytes holds a sample point with probability 1 - exp(-s / rate), which is what
 * readers of the profile divide by. Such a process splits into independent
 * ones by class, so each record draws the number of its own objects until the
 * next sample; no byte counter runs on the hit path.
 *
 * Thinning. Where every object or every eighth is a sample (1 MiB, 64 KiB at the
 * default rate), a loop of malloc and free would spend its time unwinding. So a
 * record takes only one in 1 << shift, which then counts for as many, while its
 * samples follow others of the thread within QUICK cycles: of any record, for a
 * program that allocates buffers of fifty sizes samples each of them rarely.
 * Expectations stay what they are; and as each doubling is preceded by LEVEL
 * samples of half the weight, no sample ever weighs more than some 1 / LEVEL of
 * all. A rate below THIN_FROM asks for detail and is not thinned.
 *
 * Invariant T1: outside the slow paths left >= 0, and sample_left > 0 or
 * left > 0, where a rate is set.
 *
 * A new rate takes effect when the epoch differs: the process has no memory,
 * so drawing again does not bias it.
 */
#include "alloc/tick.h"
#include "alloc/limits.h"
#include "alloc/scavenge.h"
#include "os/sandbox.h"

enum {
	TICK = 256,	/* mallocs of a class between ticks */
	TICK_HURRY = 8, /* while idle memory waits to be given back */
	QUICK = 1 << 17,     /* cycles, 40 to 60 us: a hundred samples' cost */
	SHIFT_MAX = 14,	     /* at 3 ns a pair that is one sample in 50 us */
	LEVEL = 256,	     /* samples before the shift grows */
	THIN_FROM = 1 << 16, /* bytes of rate */
};

static uint64_t rate;
static uint32_t epoch = 1; /* of the rate; mcaches start at 0 */

/* A double in (0, 1], from xorshift64*. */
static double uniform(struct mcache *mc)
{
	uint64_t x = mc->rng;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	mc->rng = x;
	return (double)((x * 0x2545f4914f6cdd1d >> 11) + 1) * 0x1p-53;
}

/*
 * -ln(u) for u in (0, 1]. With m in [sqrt(1/2), sqrt(2)) the series in
 * t = (m - 1) / (m + 1), |t| < 0.172, is exact to 1e-9 after five terms.
 */
static double minus_ln(double u)
{
	union {
		double d;
		uint64_t bits;
	} m = {.d = u};
	int e = (int)(m.bits >> 52) - 1022; /* u == m * 2^e, 1/2 <= m < 1 */
	double t, t2;

	m.bits = (m.bits & 0xfffffffffffff) | (uint64_t)1022 << 52;
	if (m.d < 0.70710678118654752) {
		m.d *= 2;
		e--;
	}
	t = (m.d - 1) / (m.d + 1);
	t2 = t * t;
	t *= 2 * (1 + t2 * (1. / 3 + t2 * (1. / 5 +
				     t2 * (1. / 7 + t2 * (1. / 9)))));
	return -(e * 0.69314718055994531 + t);
}

/* 1 - exp(-x) for x >= 0. */
static double one_minus_exp(double x)
{
	double n, f, term = 1, sum = 0;

	if (x > 40)
		return 1;
	if (x > 0.5) { /* exp(-x) = (exp(-x / 2))^2 */
		n = 1 - one_minus_exp(x / 2);
		return 1 - n * n;
	}
	f = -x;
	for (int i = 1; i <= 12; i++) { /* 0.5^13 / 13! < 1e-13 */
		term *= f / i;
		sum -= term;
	}
	return sum;
}

/* -ln(1 - q) for 0 <= q <= 1/2. */
static double minus_log1m(double q)
{
	double term = 1, sum = 0;

	for (int i = 1; i <= 40; i++) {
		term *= q;
		sum += term / i;
	}
	return sum;
}

/* The chance of objects of so many bytes under the current rate and shift. */
static double chance(size_t bytes, unsigned shift)
{
	double x = (double)bytes / (double)load_relaxed(&rate);

	if (shift == 0)
		return x;
	return minus_log1m(one_minus_exp(x) / (double)(1u << shift));
}

/* Objects of record r up to and including the next sample. */
static uint64_t draw(struct mcache *mc, unsigned r)
{
	uint64_t current = load_relaxed(&rate);
	double n;

	if (current <= 1)
		return current ? 1 : UINT64_MAX;
	n = minus_ln(uniform(mc)) / mc->cold[r].chance;
	return n < 1e15 ? (uint64_t)n + 1 : UINT64_MAX;
}

/* A sample was taken: how thin should the next be? */
static void adapt(struct mcache *mc, struct mcache_cold *cold)
{
	uint64_t now, since;

	/* Strict mode takes the time-stamp counter away, too. */
	if (load_relaxed(&rate) < THIN_FROM || sandboxed == SANDBOX_STRICT)
		return;
	now = __builtin_ia32_rdtsc();
	since = now - mc->sampled_at;
	mc->sampled_at = now;
	if (since >= QUICK) {
		cold->quick = 0;
		if (since > 4 * QUICK && cold->shift > 0)
			cold->shift--;
	} else if (++cold->quick >= LEVEL && cold->shift < SHIFT_MAX) {
		cold->quick = 0;
		cold->shift++;
	}
}

int tick_huge(struct mcache *mc, size_t bytes)
{
	struct mcache_cold *cold = &mc->cold[0]; /* serves nobody else */
	unsigned shift = cold->shift;

	if (unlikely(mc->ignoring))
		return 0;
	if (load_relaxed(&rate) <= 1)
		return load_relaxed(&rate) ? 0 : -1;
	if (minus_ln(uniform(mc)) >= chance(bytes, shift))
		return -1;
	adapt(mc, cold);
	return (int)shift;
}

/*
 * Give the countdown of r another value; the count of mallocs stays. Snapshots
 * come between any two of these stores, from other threads, from a signal
 * handler on this one, and after a fork; at each point mcache_mallocs() is
 * right:
 *
 *	left >= 0   loaded - left
 *	left < 0    settled; the hit path that makes left -1 has counted one
 */
static void set_left(struct mcache *mc, unsigned r, int32_t left)
{
	struct mcache_rec *rec = &mc->rec[r];
	struct mcache_cold *cold = &mc->cold[r];
	uint64_t n = mcache_mallocs(mc, r);

	store_relaxed(&cold->settled, n);
	signal_fence();
	store_relaxed(&rec->left, -1);
	signal_fence();
	store_relaxed(&cold->loaded, n + (uint64_t)left);
	signal_fence();
	store_relaxed(&rec->left, left);
	signal_fence();
	store_relaxed(&cold->settled, n + (uint64_t)left + 1);
}

void tick_settle(struct mcache *mc)
{
	for (unsigned r = 1; r < NREC; r++)
		if (mc->rec[r].left < 0)
			set_left(mc, r, 0);
}

/* left is -1: the next tick comes after at most n mallocs. */
static void load(struct mcache *mc, unsigned r, uint64_t n)
{
	struct mcache_cold *cold = &mc->cold[r];

	n = MIN(n, cold->sample_left);
	if (cold->sample_left != UINT64_MAX)
		cold->sample_left -= n;
	set_left(mc, r, (int32_t)n - 1);
}

/* No record's next tick is more than left + 1 mallocs away. */
static void shorten(struct mcache *mc, int32_t left)
{
	for (unsigned r = 1; r < NREC; r++) {
		int32_t over = mc->rec[r].left - left;

		if (over <= 0)
			continue;
		set_left(mc, r, left);
		if (mc->cold[r].sample_left != UINT64_MAX)
			mc->cold[r].sample_left += (uint64_t)over;
	}
}

static void hurry(struct mcache *mc)
{
	shorten(mc, TICK_HURRY);
}

void tick_ignoring(struct mcache *mc)
{
	shorten(mc, 0);
}

void tick_hurry(struct mcache *mc)
{
	uint64_t window_id = scavenge_waiting();

	if (window_id == 0 || mc->hurried == window_id)
		return;
	mc->hurried = window_id;
	hurry(mc);
}

/* The malloc at hand: its shift if it is a sample, else -1. */
static int sample_due(struct mcache *mc, unsigned r)
{
	struct mcache_cold *cold = &mc->cold[r];
	unsigned shift = cold->shift;
	bool due = cold->sample_left == 0;

	if (unlikely(cold->epoch != load_relaxed(&epoch))) {
		cold->epoch = load_relaxed(&epoch);
		cold->shift = 0;
		shift = 0;
		cold->chance = chance(rec_bytes(r), 0);
		cold->sample_left = draw(mc, r);
		due = cold->sample_left == 1;
		if (!due && cold->sample_left != UINT64_MAX)
			cold->sample_left--; /* this malloc is one of them */
	}
	if (!due)
		return -1;
	if (unlikely(sandboxed == SANDBOX_STRICT)) {
		cold->sample_left = UINT64_MAX; /* a sample maps memory */
		return -1;
	}
	adapt(mc, cold);
	if (cold->shift != shift)
		cold->chance = chance(rec_bytes(r), cold->shift);
	cold->sample_left = draw(mc, r);
	return (int)shift;
}

static int tick(struct mcache *mc, unsigned r)
{
	int due;
	uint64_t now;
	bool more;

	if (unlikely(mc->ignoring)) {
		set_left(mc, r, 0);
		return 0;
	}
	due = sample_due(mc, r);
	if (load_relaxed(&rate) == 1) { /* too often for housekeeping */
		load(mc, r, 1);
		if (++mc->ticks % TICK)
			return due;
	}
	now = scavenge_now_ms();
	if (now != mc->ticked_ms) {
		mcache_trim(mc, now);
		mc->ticked_ms = now;
		limits_tick(now);
	}
	more = scavenge_tick();
	if (more)
		hurry(mc);
	if (mc->rec[r].left < 0)
		load(mc, r, more ? TICK_HURRY : TICK);
	return due;
}

int tick_count(struct mcache *mc, unsigned r)
{
	struct mcache_rec *rec = &mc->rec[r];

	if (rec->left >= 0)
		store_relaxed(&rec->left, rec->left - 1);
	return rec->left < 0 ? tick(mc, r) : -1;
}

void tick_uncount(struct mcache *mc, unsigned r)
{
	/* Not left: the next tick, and sample, come when they would have. */
	own_add(&mc->cold[r].loaded, -1);
	own_add(&mc->cold[r].settled, -1);
}

uint64_t tick_set_sample_rate(uint64_t bytes)
{
	uint64_t old = load_relaxed(&rate);

	store_relaxed(&rate, bytes);
	if (bytes != old)
		add_relaxed(&epoch, 1);
	return old;
}

uint64_t tick_sample_rate(void)
{
	return load_relaxed(&rate);
}
