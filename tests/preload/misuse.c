/* SPDX-License-Identifier: MIT */
/*
 * One way to misuse the heap for each name; misuse.sh says what must come of
 * it. Without an argument the names are listed: those that begin with harden_
 * are found with GOSTAT_HARDEN=1 only.
 */
#include "check.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static int data = 1, bss;
static char blob[1000];

/* The compiler must not see what is going on. */
static void *hide(void *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static void release(void *p)
{
	free(hide(p));
}

static char *get(size_t n)
{
	return memset(hide(malloc(n)), 1, n);
}

static void twice(size_t n)
{
	char *p = get(n);

	release(p);
	release(p);
}

/* The copies are apart: the second free is not the last thing freed. */
static void twice_apart(size_t n)
{
	char *a = get(n), *b = get(n);

	release(a);
	release(b);
	release(a);
}

/* Many more follow, so that the magazine overflows. */
static void twice_then_flush(size_t n)
{
	enum { N = 2000 };
	static char *p[N];
	char *a = get(n);

	for (int i = 0; i < N; i++)
		p[i] = get(n);
	release(a);
	release(p[0]);
	release(a);
	for (int i = 1; i < N; i++)
		release(p[i]);
}

static void *thread_twice(void *arg)
{
	twice_apart(48);
	return arg;
}

static void thread(void)
{
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, thread_twice, NULL));
	pthread_join(t, NULL);
}

static void interior(size_t n, size_t offset)
{
	char *p = get(n);

	release(p + offset);
}

/* A run of free pages: all of a big object's, once it has left all caches. */
static char *free_page(void)
{
	char *p = get(40 << 20);

	release(p);
	return p;
}

static void other_mapping(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 0x11, 1 << 20);
	release(p + 4096 + 16);
}

static void shared_mapping(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	release(p + 16);
}

static void unmapped(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p, 1 << 20);
	release(p + 16);
}

static void no_access(void)
{
	release((char *)mmap(NULL, 1 << 20, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
		4096);
}

static void stack(void)
{
	char here[64] __attribute__((aligned(16)));

	release(here + 16);
}

static void *thread_stack(void *arg)
{
	stack();
	return arg;
}

static void other_stack(void)
{
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, thread_stack, NULL));
	pthread_join(t, NULL);
}

static void realloc_freed(size_t n)
{
	char *p = get(n);

	release(p);
	p = realloc(hide(p), n * 3);
	printf("%p\n", (void *)p);
}

static void realloc_interior(void)
{
	printf("%p\n", realloc(hide(get(4000) + 16), 100000));
}

static void realloc_static(void)
{
	printf("%p\n", realloc(hide(&blob[16]), 100));
}

/* -- what only GOSTAT_HARDEN finds ---------------------------------------- */

static void write_after_free(size_t n, size_t at)
{
	char *p = get(n);

	release(p);
	((char *)hide(p))[at] = 1;
}

/* Found when it leaves quarantine, long before the end. */
static void write_then_churn(size_t n)
{
	write_after_free(n, n / 2);
	for (int i = 0; i < 300000; i++)
		release(get(100));
	puts("not found");
}

static void write_past_end(size_t n, size_t past)
{
	char *p = get(n);

	((char *)hide(p))[n + past] = 1;
	release(p);
}

static void write_then_realloc(void)
{
	char *p = get(33);

	((char *)hide(p))[33] = 1;
	printf("%p\n", realloc(hide(p), 100));
}

static void *sized_delete(void *p, size_t n)
{
	void (*f)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "_ZdlPvm");

	if (f)
		f(hide(p), n);
	return p;
}

static void twice_after_churn(void)
{
	char *p = get(5000);

	release(p);
	for (int i = 0; i < 100; i++)
		release(get(4000));
	release(p);
}

#define CASES(X)                                                               \
	X(twice_8, twice(8))                                                   \
	X(twice_48, twice(48))                                                 \
	X(twice_5000, twice(5000))                                             \
	X(twice_64k, twice(64 << 10))                                          \
	X(twice_900k, twice(900 << 10))                                        \
	X(twice_10m, twice(10 << 20))                                          \
	X(apart_48, twice_apart(48))                                           \
	X(apart_5000, twice_apart(5000))                                       \
	X(apart_64k, twice_apart(64 << 10))                                    \
	X(apart_10m, twice_apart(10 << 20))                                    \
	X(flush_48, twice_then_flush(48))                                      \
	X(flush_5000, twice_then_flush(5000))                                  \
	X(thread_48, thread())                                                 \
	X(interior_1, interior(100, 1))                                        \
	X(interior_8, interior(100, 8))                                        \
	X(interior_16, interior(100, 16))                                      \
	X(interior_16_of_48, interior(48, 16))                                 \
	X(interior_4096, interior(10000, 4096))                                \
	X(interior_1_64k, interior(64 << 10, 1))                               \
	X(interior_16_64k, interior(64 << 10, 16))                             \
	X(interior_8192_64k, interior(64 << 10, 8192))                         \
	X(interior_16_10m, interior(10 << 20, 16))                             \
	X(interior_8192_10m, interior(10 << 20, 8192))                         \
	X(stack, stack())                                                      \
	X(other_stack, other_stack())                                          \
	X(code, release((char *)(uintptr_t)stack + 16))                        \
	X(libc_code, release((char *)(uintptr_t)hide((void *)printf)))         \
	X(data, release(&data))                                                \
	X(bss, release(&bss))                                                  \
	X(blob, release(&blob[512]))                                           \
	X(constant, release((char *)(uintptr_t) "a constant string" + 1))      \
	X(small_1, release((void *)1))                                         \
	X(small_4096, release((void *)4096))                                   \
	X(negative, release((void *)-1))                                       \
	X(noncanonical, release((void *)0x4141414141414141))                   \
	X(free_page, release(free_page()))                                     \
	X(inside_free_page, release(free_page() + (8 << 20) + 16))             \
	X(other_mapping, other_mapping())                                      \
	X(shared_mapping, shared_mapping())                                    \
	X(unmapped, unmapped())                                                \
	X(no_access, no_access())                                              \
	X(realloc_freed_100, realloc_freed(100))                               \
	X(realloc_freed_10m, realloc_freed(10 << 20))                          \
	X(realloc_interior, realloc_interior())                                \
	X(realloc_static, realloc_static())                                    \
	X(harden_twice, twice_after_churn())                                   \
	X(harden_uaf_48, write_after_free(48, 40))                             \
	X(harden_uaf_5000, write_after_free(5000, 4999))                       \
	X(harden_uaf_churn, write_then_churn(48))                              \
	X(harden_uaf_64k, write_after_free(64 << 10, 1000))                    \
	X(harden_uaf_10m, write_after_free(10 << 20, 1000))                    \
	X(harden_past_48, write_past_end(48, 0))                               \
	X(harden_past_33, write_past_end(33, 14))                              \
	X(harden_past_60000, write_past_end(60000, 0))                         \
	X(harden_past_guard, write_past_end(65536, 0))                         \
	X(harden_before_guard, write_past_end(65536, (size_t)-65536 - 1))      \
	X(harden_past_realloc, write_then_realloc())                           \
	X(harden_sized, sized_delete(get(100), 104))                           \
	X(harden_sized_64k, sized_delete(get(65536), 60000))

#define FUNCTION(name, call)                                                   \
	static void run_##name(void)                                           \
	{                                                                      \
		call;                                                          \
	}
CASES(FUNCTION)

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
#define ROW(name, call) {#name, run_##name},
	CASES(ROW)};

int main(int argc, char **argv)
{
	const size_t n = sizeof(all) / sizeof(*all);

	for (size_t i = 0; i < n; i++) {
		if (argc < 2)
			puts(all[i].name);
		else if (!strcmp(argv[1], all[i].name))
			all[i].run();
	}
	return 0;
}
