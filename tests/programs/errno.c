/* SPDX-License-Identifier: MIT */
/*
 * errno: results and error numbers of the malloc family at its edges, printed
 * as glibc gives them.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The compiler knows these functions and would fold the calls. */
static size_t volatile huge = SIZE_MAX / 2 + 2;
static size_t volatile none;

static void show(const char *what, const void *p)
{
	printf("%s: %s, %s\n", what, p ? "memory" : "NULL", strerror(errno));
	errno = 0;
}

static void aligned(const char *what, const void *p, size_t to)
{
	printf("%s: %s\n", what, p && (uintptr_t)p % to == 0 ? "ok" : "bad");
}

int main(void)
{
	void *p = malloc(20), *q = NULL;
	void *zero[2] = {malloc(none), malloc(none)};
	long page = sysconf(_SC_PAGESIZE);

	errno = 0;
	show("malloc huge", malloc(huge));
	show("calloc huge", calloc(huge, 4));
	show("calloc huge the other way", calloc(4, huge));
	show("realloc huge", realloc(p, huge));
	show("reallocarray", reallocarray(p, huge, 16));
	show("aligned_alloc 3", aligned_alloc(3 + none, 10));
	show("aligned_alloc huge", aligned_alloc(64, huge));
	show("memalign huge", memalign(huge, 10));
	show("valloc huge", valloc(huge));
	show("pvalloc huge", pvalloc(huge));
	for (size_t a = 1; a <= 128; a *= 2) {
		int e = posix_memalign(&q, a, 100);

		printf("posix_memalign %zu: %s %s\n", a, strerror(e),
			strerror(errno));
		if (e == 0)
			free(q);
	}
	printf("posix_memalign huge: %s %s\n",
		strerror(posix_memalign(&q, 64, huge)), strerror(errno));
	printf("zero: %d\n", zero[0] && zero[1] && zero[0] != zero[1]);
	free(zero[0]);
	free(zero[1]);
	errno = 0;
	show("realloc to nothing", realloc(p, none));
	p = realloc(NULL, none);
	printf("realloc of nothing: %d\n", p != NULL);
	free(p);
	errno = EXDEV;
	free(malloc((size_t)1 << 26));
	free(calloc(1000, 1000));
	free(NULL);
	printf("free: %s\n", strerror(errno));
	for (size_t n = 1; n < 100000; n = n * 3 / 2 + 1) {
		p = malloc(n);
		if ((uintptr_t)p % (n > 8 ? 16 : 8) != 0 ||
			malloc_usable_size(p) < n)
			printf("malloc %zu: wrong\n", n);
		free(p);
	}
	for (size_t a = 16; a <= (size_t)1 << 24; a *= 4) {
		p = memalign(a, a / 3 + 1);
		aligned("memalign", p, a);
		free(p);
	}
	p = valloc(1);
	aligned("valloc", p, (size_t)page);
	free(p);
	p = pvalloc(1);
	aligned("pvalloc", p, (size_t)page);
	printf("pvalloc rounds: %d\n", malloc_usable_size(p) >= (size_t)page);
	free(p);
	printf("usable size of NULL: %zu\n", malloc_usable_size(NULL));
	printf("mallopt: %d %d\n", mallopt(M_ARENA_MAX, 2),
		mallopt(M_TRIM_THRESHOLD, 1 << 20));
	return 0;
}
