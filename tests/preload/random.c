/* SPDX-License-Identifier: MIT */
/*
 * Random calls of the whole family against a naive model: what is out, where,
 * how long, and what was written there. Every object is filled with a pattern
 * of its own up to its usable size, and looked at before it changes hands, so
 * two objects that overlap, a byte that realloc loses or calloc leaves dirty
 * show. Several threads share the table of objects: most are freed by another
 * thread than they came from.
 *
 *	random [SEED [OPERATIONS [THREADS]]]
 *
 * Holds under glibc too.
 */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 4096 };

struct object {
	unsigned char *p; /* NULL: none */
	size_t size;	  /* asked for */
	size_t usable;
	uint64_t pattern;
};

static struct object slots[SLOTS];
static pthread_mutex_t locks[SLOTS];
static unsigned long seed, operations;

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng * 0x9e3779b97f4a7c15;
}

/* Mostly small, sometimes a page, rarely megabytes; often round numbers. */
static size_t random_size(uint64_t *rng)
{
	uint64_t r = next(rng) >> 11;
	unsigned bits = r % 64 < 44   ? 3 + r / 64 % 8
			: r % 64 < 60 ? 10 + r / 64 % 5
			: r % 64 < 63 ? 15 + r / 64 % 4
				      : 20 + r / 64 % 3;
	size_t n = (r >> 20) & (((size_t)1 << bits) - 1);

	if (r / 4096 % 8 == 0)
		return (size_t)1 << bits;
	if (r / 4096 % 8 == 1)
		return ((size_t)1 << bits) + 1;
	return n;
}

/* Byte i of an object. Long ones are filled in part: head, tail, a stride. */
static unsigned char byte_at(uint64_t pattern, size_t i)
{
	return (unsigned char)(pattern >> (i % 8 * 8)) ^
	       (unsigned char)(i >> 3);
}

static size_t step(size_t i, size_t n)
{
	return i < 600 || n - i < 600 ? 1 : 509;
}

static void fill(struct object *o, size_t from)
{
	for (size_t i = from; i < o->usable; i += step(i, o->usable))
		o->p[i] = byte_at(o->pattern, i);
}

/*
 * The first n bytes are as written when the object had was usable bytes: the
 * positions that fill() chose then.
 */
static void check_bytes(const struct object *o, size_t n, size_t was)
{
	for (size_t i = 0; i < n; i += step(i, was))
		if (o->p[i] != byte_at(o->pattern, i)) {
			fprintf(stderr,
				"seed %lu: byte %zu of %zu at %p changed\n",
				seed, i, o->size, (void *)o->p);
			abort();
		}
}

static void take_over(
	struct object *o, void *p, size_t size, size_t align, uint64_t *rng)
{
	CHECK(p && (uintptr_t)p % align == 0);
	o->p = p;
	o->size = size;
	o->usable = malloc_usable_size(p);
	CHECK(o->usable >= size);
	o->pattern = next(rng);
	fill(o, 0);
}

static void allocate(struct object *o, uint64_t *rng)
{
	size_t n = random_size(rng), align = 16, k = 1 + next(rng) % 8;
	void *p;

	switch (next(rng) % 8) {
	case 0:
		p = calloc(k, n / k);
		n = n / k * k;
		for (size_t i = 0; i < n; i++)
			CHECK(((char *)p)[i] == 0);
		break;
	case 1:
		align = (size_t)8 << next(rng) % 10;
		CHECK(posix_memalign(&p, align, n) == 0);
		break;
	case 2:
		align = (size_t)16 << next(rng) % 12;
		p = aligned_alloc(align, n);
		break;
	case 3:
		p = realloc(NULL, n);
		break;
	default:
		p = malloc(n);
	}
	take_over(o, p, n, n <= 8 && align <= 16 ? 8 : align, rng);
}

static void resize(struct object *o, uint64_t *rng)
{
	size_t n = random_size(rng) + 1, was = o->usable, keep;
	void *p;

	/* Half of the time by little. */
	if (next(rng) % 2)
		n = o->size + next(rng) % (o->size / 4 + 32) + 1;
	p = next(rng) % 4 ? realloc(o->p, n) : reallocarray(o->p, n, 1);
	CHECK(p);
	o->p = p;
	keep = o->size < n ? o->size : n;
	check_bytes(o, keep, was);
	take_over(o, p, n, n <= 8 ? 8 : 16, rng);
}

static void *work(void *arg)
{
	uint64_t rng = seed * 1000003 + (uintptr_t)arg * 7919 + 1;

	for (unsigned long i = 0; i < operations; i++) {
		unsigned k = (unsigned)(next(&rng) >> 40) % SLOTS;
		struct object *o = &slots[k];

		pthread_mutex_lock(&locks[k]);
		if (!o->p) {
			allocate(o, &rng);
		} else {
			check_bytes(o, o->usable, o->usable);
			if (next(&rng) % 4 == 0) {
				resize(o, &rng);
			} else {
				free(o->p);
				o->p = NULL;
			}
		}
		pthread_mutex_unlock(&locks[k]);
		if (next(&rng) % 50000 == 0)
			malloc_trim(0);
	}
	return arg;
}

int main(int argc, char **argv)
{
	unsigned long threads = argc > 3 ? strtoul(argv[3], NULL, 0) : 3;
	pthread_t t[64];

	seed = argc > 1 ? strtoul(argv[1], NULL, 0) : (unsigned long)time(NULL);
	operations = argc > 2 ? strtoul(argv[2], NULL, 0) : 60000;
	printf("seed %lu\n", seed);
	fflush(stdout);
	CHECK(threads <= 64);
	for (int i = 0; i < SLOTS; i++)
		pthread_mutex_init(&locks[i], NULL);
	for (uintptr_t i = 0; i < threads; i++)
		CHECK(!pthread_create(&t[i], NULL, work, (void *)i));
	for (uintptr_t i = 0; i < threads; i++)
		CHECK(!pthread_join(t[i], NULL));
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].p) {
			check_bytes(
				&slots[i], slots[i].usable, slots[i].usable);
			free(slots[i].p);
		}
	return 0;
}
