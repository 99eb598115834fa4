// SPDX-License-Identifier: MIT
/*
 * larson GENERATIONS: a server whose threads come and go.
 *
 * Two threads at a time replace random blocks (16 to 1024 bytes) in their slot
 * arrays for a while and end. The next generation inherits the arrays, each
 * thread the other's, and so frees blocks that a thread allocated which no
 * longer exists. The picture:
 *
 *	generation 0	A works on x	B works on y	both end
 *	generation 1	C works on y	D works on x	...
 */
#include "bench.h"

#include <pthread.h>

enum { THREADS = 2, SLOTS = 2000, OPS = 40000, LO = 16, HI = 1024 };

struct set {
	unsigned char *slot[SLOTS];
	unsigned char stamp;
	uint64_t rng;
};

static void *work(void *arg)
{
	struct set *s = arg;

	for (int i = 0; i < OPS; i++) {
		size_t k = bench_between(&s->rng, 0, SLOTS - 1);
		unsigned char *p = s->slot[k];

		if (p && *p != (unsigned char)(s->stamp + k))
			bench_fail("two blocks overlap");
		free(p);
		p = bench_must(malloc(bench_between(&s->rng, LO, HI)));
		*p = (unsigned char)(s->stamp + k);
		s->slot[k] = p;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t gens = bench_number(argc > 1 ? argv[1] : NULL, "generations?");
	static struct set set[THREADS] = {
		{ .stamp = 3, .rng = 67 },
		{ .stamp = 90, .rng = 71 },
	};
	pthread_t t[THREADS];

	for (size_t g = 0; g < gens; g++) {
		for (size_t i = 0; i < THREADS; i++) {
			struct set *s = &set[(g + i) % THREADS];

			if (pthread_create(&t[i], NULL, work, s))
				bench_fail("no thread");
		}
		for (size_t i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
	}
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < SLOTS; k++)
			free(set[i].slot[k]);
	}
	bench_check(set[0].rng ^ set[1].rng);
	return 0;
}
