/* SPDX-License-Identifier: MIT */
/* The front door against the model of objects.h, in every mode. */
#include "model/objects.h"

#include "alloc/mcentral.h"
#include "alloc/tick.h"

#include <pthread.h>
#include <sched.h>

enum { OBJECTS = 600 };
static struct obj objs[OBJECTS];

enum { SLACK = 1, RECORD = 2, SAMPLE = 4, MODES = 8 };

static void set_mode(int mode)
{
	if (mode & RECORD) {
		objinfo_record_all();
		tick_set_sample_rate(1);
	} else if (mode & SAMPLE) {
		tick_set_sample_rate(3000);
	}
	if (mode & SLACK)
		mcache_set_slack(1);
}

START_TEST(one_thread)
{
	struct rng r = rng_init(1 + (uint64_t)_i);
	struct count c = {0};
	size_t live = OBJECTS;

	set_mode(_i);
	model_init();
	errno = 77;
	for (size_t i = 0; i < scaled(6000); i++) {
		if (i % 2000 == 0)
			live = rng_log(&r, OBJECTS);
		any_operation(objs, live, &c, &r);
		if (i % 1024 == 0) {
			heap_check();
			check_exact(&c);
		}
	}
	free_all(objs, OBJECTS, &c);
	check_exact(&c);
	heap_check();
	ck_assert_uint_eq(c.bytes_in, c.bytes_out);
	ck_assert_int_eq(errno, 77);
}
END_TEST

/* Objects that another thread may take up, under one lock. */
static pthread_mutex_t swap_lock = PTHREAD_MUTEX_INITIALIZER;
static struct obj shared[64];
static struct count total;

static void *worker(void *arg)
{
	struct obj *mine = calloc(150, sizeof(*mine));
	struct rng r = rng_init(50 + (size_t)arg);
	struct count c = {0};

	for (size_t i = 0; i < scaled(2500); i++) {
		struct obj *a = &mine[rng_below(&r, 150)], o;
		struct obj *b = &shared[rng_below(&r, NELEM(shared))];

		any_operation(mine, 150, &c, &r);
		if (i % 4)
			continue;
		pthread_mutex_lock(&swap_lock);
		o = *a;
		*a = *b;
		*b = o;
		pthread_mutex_unlock(&swap_lock);
	}
	free_all(mine, 150, &c);
	free(mine);
	pthread_mutex_lock(&swap_lock);
	count_add(&total, &c);
	pthread_mutex_unlock(&swap_lock);
	return NULL;
}

START_TEST(many_threads)
{
	pthread_t t[6];

	set_mode(_i);
	model_init();
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < NELEM(t); i++)
			pthread_create(&t[i], NULL, worker, (void *)i);
		for (size_t i = 0; i < NELEM(t); i++)
			pthread_join(t[i], NULL);
		heap_check();
		check_exact(&total);
	}
	free_all(shared, NELEM(shared), &total);
	check_exact(&total);
	heap_check();
	ck_assert_uint_eq(total.bytes_in, total.bytes_out);
}
END_TEST

/* The kernel refuses the Nth request, and all after it. */
static long *refused; /* by the run; shared with the child */
static long fail_at;

static bool short_run(void *arg)
{
	struct rng r = rng_init(70); /* the same for every N */
	struct count c = {0};
	size_t n = 0;

	set_mode(*(int *)arg);
	model_init();
	may_refuse = true;
	sysmem_fail_after = fail_at;
	for (int i = 0; i < 400; i++)
		n += !any_operation(objs, 200, &c, &r);
	/* What there is still serves. */
	if (n)
		n += !any_operation(objs, 200, &c, &r);
	*refused = (long)n;
	heap_check();
	check_exact(&c);
	sysmem_fail_after = -1;
	may_refuse = false;
	for (int i = 0; i < 300; i++)
		any_operation(objs, 200, &c, &r);
	heap_check();
	check_exact(&c);
	free_all(objs, OBJECTS, &c);
	check_exact(&c);
	heap_check();
	return true;
}

START_TEST(every_refusal)
{
	long n = 0;

	refused = mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	do {
		fail_at = n++;
		in_child(short_run, &(int){_i});
	} while (*refused);
	ck_assert_int_gt(n, 10); /* it asked that often */
}
END_TEST

/* Requests that no memory could serve, in every form. */
static size_t hooked;

static void out_of_memory(size_t size UNUSED)
{
	hooked++;
}

START_TEST(impossible_sizes)
{
	size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 8,
		SIZE_MAX - 127, SIZE_MAX - PAGE_SIZE, (size_t)PTRDIFF_MAX + 1,
		PTRDIFF_MAX, PTRDIFF_MAX - 1, PTRDIFF_MAX - PAGE_SIZE,
		(size_t)1 << 48, (size_t)1 << 45};
	size_t calls = 0;
	struct heapstats h;
	void *p, *small;

	set_mode(_i);
	heap_hooks.out_of_memory = out_of_memory;
	p = heap_malloc(100);
	small = heap_malloc(8);
	heap_free(small); /* there is one that would be wrong */
	for (size_t i = 0; i < NELEM(sizes); i++) {
		ck_assert_ptr_null(heap_malloc(sizes[i]));
		ck_assert_ptr_null(heap_calloc(1, sizes[i]));
		ck_assert_ptr_null(heap_calloc(sizes[i], 1));
		ck_assert_ptr_null(heap_realloc(p, sizes[i]));
		calls += 4;
		for (size_t align = 1; align; align *= 2) {
			ck_assert_ptr_null(heap_memalign(align, sizes[i]));
			calls++;
		}
	}
	for (size_t n = 2; n; n *= 2) {
		ck_assert_ptr_null(heap_calloc(n, SIZE_MAX / n + 2));
		ck_assert_ptr_null(heap_calloc(SIZE_MAX / n + 2, n));
		calls += 2;
	}
	ck_assert_ptr_null(heap_memalign((size_t)1 << 46, 1));
	ck_assert_ptr_null(heap_memalign((size_t)1 << 63, 1));
	ck_assert_ptr_null(heap_memalign((size_t)1 << 63, 2 * MIB));
	ck_assert_uint_eq(hooked, calls + 3);
	heapstats_read(&h);
	ck_assert_uint_eq(h.objects, 1);
	ck_assert_uint_eq(h.mallocs, 2);
	heap_check();
}
END_TEST

/* One byte past the end of any request lies in its slot. */
START_TEST(slack)
{
	mcache_set_slack(1);
	for (size_t size = 0; size <= MAX_SMALL + 3 * PAGE_SIZE; size++) {
		char *p = heap_malloc(size);
		struct mspan *s = arena_span((uintptr_t)p);

		MUST((uintptr_t)p + size < s->base + mspan_bytes(s));
		if (s->state == MSPAN_SMALL)
			MUST_EQ(mspan_index(s, (uintptr_t)p + size),
				mspan_index(s, (uintptr_t)p));
		MUST(heap_usable_size(p) >= size);
		heap_free(p);
	}
}
END_TEST

/* calloc after every way in which a run of pages can have been used before. */
START_TEST(calloc_of_used_runs)
{
	struct rng r = rng_init(90);
	static void *p[8];

	for (size_t i = 0; i < scaled(3000); i++) {
		size_t size = MAX_SMALL + 1 + rng_below(&r, 6 * PAGE_SIZE);
		size_t k = rng_below(&r, NELEM(p));

		if (p[k]) {
			memset(p[k], 0xee, heap_usable_size(p[k]));
			heap_free(p[k]);
			p[k] = NULL;
		} else if (rng_below(&r, 2)) {
			p[k] = heap_calloc(1, size);
			MUST(all_zero(p[k], size));
		} else {
			p[k] = heap_malloc(size);
		}
		if (rng_below(&r, 64) == 0)
			mcache_flush(mcache_self);
		if (rng_below(&r, 128) == 0)
			mheap_free_os_memory();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heap");
	TCase *tc = new_case(s, "heap");

	tcase_add_loop_test(tc, one_thread, 0, MODES - SAMPLE + 2);
	tcase_add_loop_test(tc, many_threads, 0, MODES - SAMPLE + 1);
	tcase_add_loop_test(tc, every_refusal, 0, MODES - SAMPLE + 1);
	tcase_add_loop_test(tc, impossible_sizes, 0, MODES - SAMPLE);
	tcase_add_test(tc, slack);
	tcase_add_test(tc, calloc_of_used_runs);
	seed_init();
	return run_suite(s);
}
