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
 * Invariant T1: outside the slow paths left >= 0, and sample_left > 0 or
 * left > 0, where a rate is set.
 *
 * A new rate takes effect when the epoch differs: the process has no memory,
 * so drawing again does not bias it.
 */
#include "alloc/tick.h"
#include "alloc/limits.h"
#include "alloc/scavenge.h"

enum {
	TICK = 256,	/* mallocs of a class between ticks */
	TICK_HURRY = 8, /* while idle memory waits to be given back */
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

/* Objects of so many bytes up to and including the next sample. */
static uint64_t draw(struct mcache *mc, size_t bytes)
{
	uint64_t r = load_relaxed(&rate);
	double n;

	if (r == 0)
		return UINT64_MAX;
	if (r == 1)
		return 1;
	n = minus_ln(uniform(mc)) * (double)r / (double)bytes;
	return n < 1e15 ? (uint64_t)n + 1 : UINT64_MAX;
}

bool tick_samples_huge(struct mcache *mc, size_t bytes)
{
	return draw(mc, bytes) == 1;
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

static void hurry(struct mcache *mc)
{
	for (unsigned r = 1; r < NREC; r++) {
		int32_t over = mc->rec[r].left - TICK_HURRY;

		if (over <= 0)
			continue;
		set_left(mc, r, TICK_HURRY);
		if (mc->cold[r].sample_left != UINT64_MAX)
			mc->cold[r].sample_left += (uint64_t)over;
	}
}

void tick_hurry(struct mcache *mc)
{
	uint64_t window_id = scavenge_waiting();

	if (window_id == 0 || mc->hurried == window_id)
		return;
	mc->hurried = window_id;
	hurry(mc);
}

/* Is the malloc at hand a sample? Draws the distance to the next one. */
static bool sample_due(struct mcache *mc, unsigned r)
{
	struct mcache_cold *cold = &mc->cold[r];
	bool due = cold->sample_left == 0;

	if (unlikely(cold->epoch != load_relaxed(&epoch))) {
		cold->epoch = load_relaxed(&epoch);
		cold->sample_left = draw(mc, rec_bytes(r));
		due = cold->sample_left == 1;
		if (!due && cold->sample_left != UINT64_MAX)
			cold->sample_left--; /* this malloc is one of them */
	}
	if (due)
		cold->sample_left = draw(mc, rec_bytes(r));
	return due;
}

static bool tick(struct mcache *mc, unsigned r)
{
	bool due = sample_due(mc, r), more;
	uint64_t now;

	if (load_relaxed(&rate) == 1) { /* too often for housekeeping */
		load(mc, r, 1);
		if (++mc->ticks % TICK)
			return due;
	}
	now = scavenge_now_ms();
	mcache_trim(mc, now);
	limits_tick(now);
	more = scavenge_tick();
	if (more)
		hurry(mc);
	if (mc->rec[r].left < 0)
		load(mc, r, more ? TICK_HURRY : TICK);
	return due;
}

bool tick_count(struct mcache *mc, unsigned r)
{
	struct mcache_rec *rec = &mc->rec[r];

	if (rec->left >= 0)
		store_relaxed(&rec->left, rec->left - 1);
	return rec->left < 0 && tick(mc, r);
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
