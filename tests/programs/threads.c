/* SPDX-License-Identifier: MIT */
/*
 * threads: several rounds of threads that come and go. Each does heap work of
 * its own and hands blocks to its neighbour, which frees them.
 */
#include "work.h"

#include <pthread.h>
#include <stdio.h>

enum { NTHREADS = 8, ROUNDS = 6, HANDED = 500 };

static void *handed[NTHREADS][HANDED];
static pthread_barrier_t barrier;

static void *run(void *arg)
{
	int me = (int)(intptr_t)arg;
	uint64_t *sum = malloc(sizeof(*sum));

	for (int i = 0; i < HANDED; i++) {
		handed[me][i] = malloc((size_t)(1 + i * 7 % 900));
		memset(handed[me][i], me, (size_t)(1 + i * 7 % 900));
	}
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < HANDED; i++)
		free(handed[(me + 1) % NTHREADS][i]);
	*sum = work((uint32_t)me + 1, 4000);
	return sum;
}

int main(void)
{
	uint64_t total = 0;

	pthread_barrier_init(&barrier, NULL, NTHREADS);
	for (int r = 0; r < ROUNDS; r++) {
		pthread_t t[NTHREADS];

		for (intptr_t i = 0; i < NTHREADS; i++)
			if (pthread_create(&t[i], NULL, run, (void *)i) != 0)
				return 1;
		for (int i = 0; i < NTHREADS; i++) {
			void *sum;

			pthread_join(t[i], &sum);
			total += *(uint64_t *)sum;
			if (*(uint64_t *)sum == 0)
				puts("damaged");
			free(sum);
		}
	}
	printf("%llu\n", (unsigned long long)total);
	return 0;
}
