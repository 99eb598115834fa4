/* SPDX-License-Identifier: MIT */
/*
 * jemalloc's interface, as a program linked with it uses it. Run under jemalloc
 * itself first, so what is checked holds there; "ours" adds what does not.
 */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAMES(X)                                                               \
	X(void *, mallocx, (size_t, int))                                      \
	X(void *, rallocx, (void *, size_t, int))                              \
	X(size_t, xallocx, (void *, size_t, size_t, int))                      \
	X(size_t, sallocx, (const void *, int))                                \
	X(void, dallocx, (void *, int))                                        \
	X(void, sdallocx, (void *, size_t, int))                               \
	X(size_t, nallocx, (size_t, int))                                      \
	X(int, mallctl, (const char *, void *, size_t *, void *, size_t))      \
	X(int, mallctlnametomib, (const char *, size_t *, size_t *))           \
	X(int, mallctlbymib,                                                   \
		(const size_t *, size_t, void *, size_t *, void *, size_t))    \
	X(void, malloc_stats_print,                                            \
		(void (*)(void *, const char *), void *, const char *))

#define DECLARE(type, name, args) static type(*name) args;
NAMES(DECLARE)

static void resolve(void)
{
#define FIND(type, name, args)                                                 \
	CHECK(name = (type(*) args)dlsym(RTLD_DEFAULT, #name));
	NAMES(FIND)
}

enum { ZERO = 0x40 };

static void check_allocx(void)
{
	for (size_t n = 1; n < 5 << 20; n = n * 2 + 3)
		for (int lg = 0; lg <= 16; lg += 4)
			for (int zero = 0; zero <= ZERO; zero += ZERO) {
				size_t good = nallocx(n, lg | zero), real;
				char *p;

				free(memset(malloc(n), 0xff, n));
				p = mallocx(n, lg | zero);
				CHECK(p && (uintptr_t)p % (1u << lg) == 0);
				CHECK(good >= n && sallocx(p, 0) == good);
				CHECK(malloc_usable_size(p) == good);
				for (size_t i = 0; zero && i < n; i++)
					CHECK(p[i] == 0);
				memset(p, 5, n);
				real = xallocx(p, n + 100000, 0, lg);
				CHECK(real >= n && real == sallocx(p, lg));
				p = rallocx(p, 3 * n, lg | zero);
				CHECK(p && (uintptr_t)p % (1u << lg) == 0);
				for (size_t i = 0; i < n; i++)
					CHECK(p[i] == 5);
				for (size_t i = real; zero && i < 3 * n; i++)
					CHECK(p[i] == 0);
				if (zero)
					dallocx(p, lg);
				else
					sdallocx(p, 3 * n, lg);
			}
	CHECK(nallocx(SIZE_MAX, 0) == 0 && !mallocx(PTRDIFF_MAX, 0));
}

static size_t figure(const char *name)
{
	uint64_t epoch = 1;
	size_t v, len = sizeof(epoch);

	CHECK(mallctl("epoch", &epoch, &len, &epoch, len) == 0);
	len = sizeof(v);
	CHECK(mallctl(name, &v, &len, NULL, 0) == 0 && len == sizeof(v));
	return v;
}

static void check_stats(void)
{
	size_t before = figure("stats.allocated"), after;
	char *p = memset(malloc(48 << 20), 1, 48 << 20);

	after = figure("stats.allocated");
	CHECK(after - before >= 48u << 20 && after - before < 50u << 20);
	CHECK(figure("stats.active") >= after);
	CHECK(figure("stats.resident") >= figure("stats.active"));
	CHECK(figure("stats.mapped") >= figure("stats.active"));
	CHECK(figure("stats.metadata") > 0);
	free(p);
	CHECK(figure("stats.allocated") <= before + (1 << 20));
	figure("stats.retained");
}

static void check_tree(void)
{
	size_t mib[8], miblen = 8, len, size, last = 0;
	unsigned n = 0;
	char name[32];
	bool b;

	len = sizeof(n);
	CHECK(mallctl("arenas.nbins", &n, &len, NULL, 0) == 0 && n > 10);
	CHECK(mallctlnametomib("arenas.bin.0.size", mib, &miblen) == 0);
	CHECK(miblen == 4);
	for (mib[2] = 0; mib[2] < n; mib[2]++) {
		len = sizeof(size);
		CHECK(mallctlbymib(mib, miblen, &size, &len, NULL, 0) == 0);
		CHECK(size > last && nallocx(size, 0) == size);
		last = size;
	}
	mib[2] = 100000;
	CHECK(mallctlbymib(mib, miblen, &size, &len, NULL, 0) == ENOENT);

	len = sizeof(n);
	CHECK(mallctl("arenas.narenas", &n, &len, NULL, 0) == 0 && n > 0);
	sprintf(name, "arena.%u.purge", n); /* as redis does: all of them */
	CHECK(mallctl(name, NULL, NULL, NULL, 0) == 0);
	CHECK(mallctl("arena.0.decay", NULL, NULL, NULL, 0) == 0);
	CHECK(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);

	CHECK(mallctl("no.such.name", NULL, NULL, NULL, 0) == ENOENT);
	CHECK(mallctl("stats", NULL, NULL, NULL, 0) == ENOENT ||
		mallctl("stats", NULL, NULL, NULL, 0) == EINVAL);
	len = 1;
	CHECK(mallctl("stats.active", &b, &len, NULL, 0) == EINVAL);
	CHECK(mallctl("stats.active", NULL, NULL, &size, 8) == EPERM);
	len = sizeof(b);
	CHECK(mallctl("config.stats", &b, &len, NULL, 0) == 0 && b);
}

static void append(void *arg, const char *text)
{
	char *s = arg;

	CHECK(strlen(s) + strlen(text) < 1 << 20);
	strcat(s, text);
}

static void check_print(void)
{
	static char text[1 << 20];

	malloc_stats_print(append, text, "");
	CHECK(strstr(text, "Begin jemalloc statistics"));
	CHECK(strstr(text, "Allocated: "));
	CHECK(strstr(text, "End jemalloc statistics"));
	text[0] = 0;
	malloc_stats_print(append, text, "J");
	CHECK(text[0] == '{' && strstr(text, "\"allocated\":"));
}

static void check_ours(void)
{
	const char *version;
	size_t len = sizeof(version);
	void *p = malloc(48);

	CHECK(mallctl("version", &version, &len, NULL, 0) == 0);
	CHECK(!strncmp(version, "gostat ", 7));
	CHECK(figure("stats.allocated") == mallinfo2().uordblks);
	CHECK(figure("stats.arenas.0.small.allocated") > 0);
	CHECK(figure("stats.arenas.0.bins.3.curregs") == 1);
	free(p);
	CHECK(figure("stats.arenas.0.bins.3.curregs") == 0);
}

int main(int argc, char **argv)
{
	resolve();
	check_allocx();
	check_stats();
	check_tree();
	check_print();
	if (argc > 1 && !strcmp(argv[1], "ours"))
		check_ours();
	return 0;
}
