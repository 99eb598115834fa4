/* SPDX-License-Identifier: MIT */
/*
 * The argument rules of the malloc family. The program is run without the
 * library first: glibc is the model, so what is checked here holds there.
 *
 * Say "ours" to check also what only the library promises.
 */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>

/* The compiler must not know which sizes and alignments are silly. */
static volatile size_t huge = PTRDIFF_MAX, zero, one = 1;

static int ours;

static void *name(const char *symbol)
{
	void *f = dlsym(RTLD_DEFAULT, symbol);

	CHECK(f);
	return f;
}

static int aligned(const void *p, size_t align)
{
	return (uintptr_t)p % align == 0;
}

static void check_malloc(void)
{
	char *p[2000];

	for (size_t i = 0; i < 2000; i++) {
		p[i] = malloc(i);
		CHECK(p[i] && aligned(p[i], i <= 8 ? 8 : 16));
		CHECK(malloc_usable_size(p[i]) >= i);
		memset(p[i], (int)i, i);
	}
	for (size_t i = 0; i < 2000; i++) {
		for (size_t k = 0; k < i; k++)
			CHECK(p[i][k] == (char)i);
		free(p[i]);
	}
	/* malloc(0): unique and freeable. */
	p[0] = malloc(zero);
	p[1] = malloc(zero);
	CHECK(p[0] && p[1] && p[0] != p[1]);
	free(p[0]);
	free(p[1]);
	free(NULL);
	CHECK(malloc_usable_size(NULL) == 0);
}

static void check_enomem(void)
{
	void *p = malloc(10), *out = &out;

#define REFUSED(call) (errno = 0, !(call) && errno == ENOMEM)
	CHECK(REFUSED(malloc(huge)));
	CHECK(REFUSED(malloc(huge + one)));
	CHECK(REFUSED(malloc(SIZE_MAX - zero)));
	CHECK(REFUSED(calloc(huge, 3)));
	CHECK(REFUSED(calloc(SIZE_MAX / 2 + zero, 2)));
	CHECK(REFUSED(realloc(p, huge)));
	CHECK(REFUSED(reallocarray(p, huge, 3)));
	CHECK(REFUSED(reallocarray(NULL, huge, 3)));
	CHECK(REFUSED(memalign(64, huge)));
	CHECK(REFUSED(aligned_alloc(64, SIZE_MAX - zero)));
	CHECK(REFUSED(valloc(huge)));
	CHECK(REFUSED(valloc(SIZE_MAX - zero)));
	CHECK(REFUSED(pvalloc(SIZE_MAX - zero)));
	CHECK(posix_memalign(&out, 64, huge) == ENOMEM && out == &out);
	strcpy(p, "still"); /* a refused realloc leaves the object alone */
	free(p);
}

static void check_align(void)
{
	static const size_t sizes[] = {
		0, 1, 8, 24, 100, 1000, 5000, 40000, 200000, 3000000};
	void *p = NULL;

	for (size_t a = sizeof(void *); a <= 4 << 20; a *= 2)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			CHECK(!posix_memalign(&p, a, sizes[i]));
			CHECK(aligned(p, a) &&
				malloc_usable_size(p) >= sizes[i]);
			memset(p, 1, sizes[i]);
			free(p);
			p = aligned_alloc(a, sizes[i]);
			CHECK(p && aligned(p, a));
			p = realloc(p, sizes[i] + 1);
			CHECK(p);
			free(p);
		}
	p = &p;
	CHECK(posix_memalign(&p, zero, 8) == EINVAL && p == &p);
	CHECK(posix_memalign(&p, 4 + zero, 8) == EINVAL && p == &p);
	CHECK(posix_memalign(&p, 24 + zero, 8) == EINVAL && p == &p);
	/* Odd alignments go up to a power of two, up to the largest. */
	p = memalign(48 + zero, 100);
	CHECK(p && aligned(p, 64));
	free(p);
	free(memalign(zero, 100));
	free(memalign(one, 100));
	errno = 0;
	CHECK(!memalign(SIZE_MAX / 2 + 2 + zero, 1) && errno == EINVAL);
	errno = 0;
	CHECK(!memalign(SIZE_MAX / 2 + 1 + zero, 1) && errno == ENOMEM);
	p = valloc(10);
	CHECK(aligned(p, 4096));
	free(p);
	p = pvalloc(4097);
	CHECK(aligned(p, 4096) && malloc_usable_size(p) >= 8192);
	free(p);
	p = pvalloc(zero);
	CHECK(p && aligned(p, 4096));
	free(p);
}

static void check_realloc(void)
{
	char *p = realloc(NULL, 10);

	CHECK(p);
	strcpy(p, "contents!");
	for (size_t n = 10; n < 5 << 20; n += n / 3 + 1) {
		p = realloc(p, n);
		CHECK(p && !strcmp(p, "contents!"));
		p[n - 1] = n == 10 ? 0 : 7;
	}
	p = realloc(p, 10);
	CHECK(p && !strcmp(p, "contents!"));
	errno = 0;
	CHECK(!realloc(p, zero) && errno == 0); /* freed */
	p = realloc(NULL, zero);
	CHECK(p);
	free(p);
	p = reallocarray(NULL, 3, 5);
	CHECK(p && malloc_usable_size(p) >= 15);
	free(p);
}

static void check_calloc(void)
{
	for (size_t n = 1; n < 4 << 20; n = n * 3 + 1) {
		char *p = malloc(n), *q;

		memset(p, 0xff, n);
		free(p);
		q = calloc(n, 1);
		for (size_t i = 0; i < n; i++)
			CHECK(q[i] == 0);
		free(q);
	}
	free(calloc(0, 5));
	free(calloc(5, 0));
}

static void check_errno(void)
{
	void *p[3];

	errno = 1234;
	for (size_t n = 1; n < 64 << 20; n *= 4) {
		p[0] = malloc(n);
		p[1] = calloc(n, 1);
		p[2] = realloc(malloc(n), n + 1);
		CHECK(p[0] && p[1] && p[2] && errno == 1234);
		for (int i = 0; i < 3; i++)
			free(p[i]);
		CHECK(errno == 1234);
	}
	free(NULL);
	CHECK(errno == 1234);
}

/* Names without a declaration: C23's, glibc's own, one that is gone. */
static void check_other_names(void)
{
	void *(*libc_malloc)(size_t) = name("__libc_malloc");
	void *(*libc_calloc)(size_t, size_t) = name("__libc_calloc");
	void *(*libc_realloc)(void *, size_t) = name("__libc_realloc");
	void *(*libc_memalign)(size_t, size_t) = name("__libc_memalign");
	void (*libc_free)(void *) = name("__libc_free");
	char *p = libc_malloc(10);

	free(p);
	p = libc_calloc(3, 5);
	CHECK(p[14] == 0);
	p = libc_realloc(p, 100);
	libc_free(p);
	p = libc_memalign(64, 100);
	CHECK(aligned(p, 64));
	libc_free(p);
	libc_free(malloc(5));
	if (!ours)
		return;
	((void (*)(void *))name("cfree"))(malloc(9));
	((void (*)(void *, size_t))name("free_sized"))(malloc(9), 9);
	((void (*)(void *, size_t, size_t))name("free_aligned_sized"))(
		aligned_alloc(64, 128), 64, 128);
}

static void check_slots(void)
{
	void *p;

	for (size_t n = 1; n < 8; n++) {
		p = malloc(n);
		CHECK(malloc_usable_size(p) == 8);
		free(p);
	}
	p = malloc(100);
	CHECK(malloc_usable_size(p) == 112);
	free(p);
}

int main(int argc, char **argv)
{
	ours = argc > 1 && !strcmp(argv[1], "ours");
	check_malloc();
	check_enomem();
	check_align();
	check_realloc();
	check_calloc();
	check_errno();
	check_other_names();
	if (ours)
		check_slots();
	return 0;
}
