/* SPDX-License-Identifier: MIT */
/*
 * pprof_snapshot: the sampler's buckets at one moment, and sums with them.
 *
 *	sampler --take--> snapshot --scale--> estimates --subtract--> difference
 *	                     |                    |                       |
 *	                  debug=1               heap                  seconds=N
 *
 * A copy is taken, because a profile is written in several passes (the text
 * form begins with a total and is sorted) while the program goes on. Stacks
 * are not copied: interned stacks never change.
 *
 * Scaling follows Go: for each bucket, allocations and live blocks apart, and
 * with the exact size, which is why size is a part of a bucket's key. The
 * result is truncated to an integer like Go's.
 *
 * Invariants:
 *   I1  a bucket's id occurs once in a snapshot.
 *
 * Locks: none; next() takes what it needs for each bucket.
 *
 * Rejected: expm1() of libm. The library would depend on libm for one call,
 * and libm may set errno and raise floating-point flags.
 */
#include "observe/pprof.h"
#include "os/clock.h"

#include <errno.h>

int pprof_take(struct pprof_snapshot *s, pprof_next *next, void *cursor)
{
	struct pprof_bucket b;

	s->time_ns = clock_unix_ns();
	s->duration_ns = 0;
	s->n = s->mem.len = 0;
	while (next(cursor, &b)) {
		struct pprof_bucket *at = grow_add(&s->mem, sizeof(b));

		if (!at)
			return ENOMEM;
		*at = b;
		s->n++;
	}
	return 0;
}

void pprof_free(struct pprof_snapshot *s)
{
	grow_free(&s->mem);
	s->n = 0;
}

/*
 * With h = 1 - exp(-y) for y = x / 2^k, small enough for a short series:
 * 1 - exp(-2y) = h (2 - h), k times. No difference of nearly equal numbers
 * occurs, so small x keep their precision.
 */
double pprof_miss(double x)
{
	double term, sum = 0;
	int k = 0;

	if (x > 50)
		return 1;
	for (; x > 0.0625; x /= 2)
		k++;
	term = x;
	for (int i = 2; i <= 12; i++) {
		sum += term;
		term *= -x / i;
	}
	while (k--)
		sum *= 2 - sum;
	return sum;
}

static void scale(int64_t *count, int64_t *bytes, double rate)
{
	double factor;

	if (*count <= 0 || *bytes <= 0)
		return;
	factor = 1 / pprof_miss((double)*bytes / (double)*count / rate);
	*count = (int64_t)((double)*count * factor);
	*bytes = (int64_t)((double)*bytes * factor);
}

void pprof_scale(struct pprof_snapshot *s, uint64_t rate)
{
	struct pprof_bucket *b = pprof_buckets(s);

	if (rate <= 1)
		return;
	for (size_t i = 0; i < s->n; i++) {
		scale(&b[i].allocs, &b[i].alloc_bytes, (double)rate);
		scale(&b[i].inuse, &b[i].inuse_bytes, (double)rate);
	}
}

typedef bool before(const struct pprof_bucket *, const struct pprof_bucket *);

static bool smaller_id(const struct pprof_bucket *a,
	const struct pprof_bucket *b)
{
	return a->id < b->id;
}

static bool larger_inuse(const struct pprof_bucket *a,
	const struct pprof_bucket *b)
{
	if (a->inuse_bytes != b->inuse_bytes)
		return a->inuse_bytes > b->inuse_bytes;
	if (a->alloc_bytes != b->alloc_bytes)
		return a->alloc_bytes > b->alloc_bytes;
	return a->id < b->id;
}

static void sift(struct pprof_bucket *b, size_t at, size_t n, before *less)
{
	struct pprof_bucket moved = b[at];
	size_t child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && less(&b[child], &b[child + 1]))
			child++;
		if (!less(&moved, &b[child]))
			break;
		b[at] = b[child];
		at = child;
	}
	b[at] = moved;
}

/* Heapsort: in place, no recursion, no worst case; qsort() may allocate. */
static void sort(struct pprof_snapshot *s, before *less)
{
	struct pprof_bucket *b = pprof_buckets(s), top;

	for (size_t i = s->n / 2; i--;)
		sift(b, i, s->n, less);
	for (size_t n = s->n; n > 1; n--) {
		top = b[0];
		b[0] = b[n - 1];
		b[n - 1] = top;
		sift(b, 0, n - 1, less);
	}
}

void pprof_sort(struct pprof_snapshot *s)
{
	sort(s, larger_inuse);
}

void pprof_subtract(struct pprof_snapshot *s, struct pprof_snapshot *old)
{
	struct pprof_bucket *b = pprof_buckets(s), *o = pprof_buckets(old);
	size_t kept = 0, j = 0;

	sort(s, smaller_id);
	sort(old, smaller_id);
	for (size_t i = 0; i < s->n; i++) {
		while (j < old->n && o[j].id < b[i].id)
			j++;
		if (j < old->n && o[j].id == b[i].id) {
			b[i].allocs -= o[j].allocs;
			b[i].alloc_bytes -= o[j].alloc_bytes;
			b[i].inuse -= o[j].inuse;
			b[i].inuse_bytes -= o[j].inuse_bytes;
		}
		if (b[i].allocs | b[i].alloc_bytes | b[i].inuse |
			b[i].inuse_bytes)
			b[kept++] = b[i];
	}
	s->n = kept;
	s->duration_ns = s->time_ns - old->time_ns;
}
