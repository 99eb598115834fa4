/* SPDX-License-Identifier: MIT */
/* Magazines: growth, trimming, threads that end, threads that exchange. */
#include "alloc/mcache.h"
#include "alloc/mcentral.h"
#include "os/sysmem.h"
#include "support/count.h"
#include "support/maps.h"
#include "support/random.h"

#include <pthread.h>

static struct count total; /* of threads that have ended */
static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;

static void add_total(const struct count *c)
{
	pthread_mutex_lock(&total_lock);
	count_add(&total, c);
	pthread_mutex_unlock(&total_lock);
}

/* Mostly small, now and then a run of pages or more. */
static size_t some_size(struct rng *r)
{
	switch (rng_below(r, 64)) {
	case 0:
		return rng_log(r, 2 * MIB);
	case 1 ... 4:
		return rng_log(r, 64 * KIB);
	default:
		return rng_below(r, 700);
	}
}

static void run_threads(unsigned n, void *(*fn)(void *))
{
	pthread_t t[64];

	for (size_t i = 0; i < n; i++)
		MUST(!pthread_create(&t[i], NULL, fn, (void *)i));
	for (size_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static unsigned count_mcaches(bool active_only)
{
	unsigned n = 0;

	for (struct mcache *mc = mcache_all; mc; mc = mc->next)
		n += mc->active || !active_only;
	return n;
}

/* Of mcaches without a thread nothing is left. */
static void check_given_back(void)
{
	for (struct mcache *mc = mcache_all; mc; mc = mc->next)
		for (unsigned r = 0; r < NREC && !mc->active; r++)
			MUST_EQ(mcache_depth(&mc->rec[r]), 0);
	heap_check();
}

START_TEST(first_use)
{
	void *p;

	ck_assert_ptr_eq(mcache_self, &mcache_none);
	ck_assert_ptr_null(mcache_all);
	heap_free(NULL); /* is nothing, not even that */
	ck_assert_ptr_null(mcache_all);
	p = heap_malloc(1);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_eq(mcache_self, mcache_all);
	ck_assert(mcache_self->active && !mcache_self->next);
	ck_assert_ptr_eq(mcache_get(), mcache_self);
	mcache_put(mcache_self);
	ck_assert(mcache_self->active);
	heap_free(p);
	ck_assert_ptr_eq(heap_malloc(1), p); /* last in, first out */
	heap_check();
}
END_TEST

/* Each request goes to the class that fits best, with slack and without. */
static void check_routes(size_t slack)
{
	for (size_t size = 0; size <= SMALL_MAX; size++) {
		unsigned r = (unsigned)(mcache_self->small[(size + 7) / 8] -
			mcache_self->rec);
		size_t need = ALIGN_UP(size, 8) + slack, c = 1;

		while (sizeclasses[c].size < need || c == 3)
			c++;
		MUST_EQ(r, c);
	}
}

START_TEST(routes)
{
	ck_assert_ptr_nonnull(heap_malloc(1));
	check_routes(0);
	mcache_set_slack(1);
	check_routes(1);
	mcache_set_slack(0);
	check_routes(0);
}
END_TEST

/* All magazines as large as they can get: there is room for them. */
START_TEST(room_for_all)
{
	static void *objs[4 * MAG_MAX];
	struct mcache *mc;
	uint64_t ms = 1;

	/* Much in use, so that magazines of large objects may be deep. */
	ck_assert_ptr_nonnull(heap_malloc(256 * MIB));
	for (unsigned r = NREC - 1; r > 0; r--) {
		size_t size = rec_bytes(r);
		unsigned before = 0, same = 0;

		for (int round = 0; round < 64 && same < 8; round++) {
			size_t n = r < NSIZECLASS ? 3 * MAG_MAX : 40;

			for (size_t i = 0; i < n; i++) {
				objs[i] = heap_malloc(size);
				MUST(objs[i] != NULL);
			}
			for (size_t i = 0; i < n; i++)
				heap_free(objs[i]);
			mc = mcache_self;
			same = mc->cold[r].cap == before ? same + 1 : 0;
			before = mc->cold[r].cap;
		}
		if (r < NSIZECLASS && r != 3)
			MUST_EQ(before, MIN(MAX(MAG_BYTES / size, 4),
						(size_t)MAG_MAX));
		else if (size > MAX_SMALL)
			MUST(before >= 2);
		/* Out of the budget again, memory of the magazine kept. */
		for (int i = 0; i < 2; i++)
			mcache_trim(mc, ms += 2000);
	}
	MUST(mc->bump <= mc->bump_end);
	heap_check();
}
END_TEST

/* M1 to M3 after anything. */
START_TEST(random_use)
{
	struct rng r = rng_init(1);
	static void *objs[3000];
	struct count c = {0};
	uint64_t ms = 0;

	for (size_t i = 0; i < scaled(60000); i++) {
		size_t k = rng_below(&r, NELEM(objs));

		if (objs[k]) {
			counted_free(&c, objs[k]);
			objs[k] = NULL;
		} else {
			objs[k] = counted_malloc(&c, some_size(&r));
			MUST(objs[k] != NULL);
		}
		if (rng_below(&r, 256) == 0)
			mcache_trim(mcache_self, ms += rng_below(&r, 2000));
		if (rng_below(&r, 4096) == 0)
			mcache_flush(mcache_self);
		if (i % 512 == 0)
			mcache_check();
		if (i % 4096 == 0) {
			heap_check();
			check_exact(&c);
		}
	}
	for (size_t k = 0; k < NELEM(objs); k++)
		if (objs[k])
			counted_free(&c, objs[k]);
	check_exact(&c);
	mcache_flush(mcache_self);
	check_exact(&c);
	heap_check();
}
END_TEST

/* What was not asked for between two trims goes, the rest stays. */
START_TEST(trimming)
{
	void *small[20], *mid[20], *large[6];
	struct mcache *mc;
	unsigned rl = rec_of_run(6);

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 20; i++) {
			small[i] = heap_malloc(48);
			mid[i] = heap_malloc(2000);
		}
		for (int i = 0; i < 6; i++)
			large[i] = heap_malloc(6 * PAGE_SIZE);
		for (int i = 0; i < 20; i++) {
			heap_free(small[i]);
			heap_free(mid[i]);
		}
		for (int i = 0; i < 6; i++)
			heap_free(large[i]);
	}
	mc = mcache_self;
	ck_assert_uint_gt(mcache_depth(&mc->rec[5]), 0);
	ck_assert_uint_gt(mcache_depth(&mc->rec[38]), 0);
	ck_assert_uint_gt(mcache_depth(&mc->rec[rl]), 0);
	mc->ticked_ms = 9900; /* this thread is awake */
	mcache_trim(mc, 10000);
	mcache_trim(mc, 10001); /* too early */
	ck_assert_uint_gt(mcache_depth(&mc->rec[5]), 0);
	ck_assert_uint_gt(mcache_depth(&mc->rec[rl]), 0);
	heap_free(heap_malloc(48));
	mc->ticked_ms = 19900;
	mcache_trim(mc, 20000);
	ck_assert_uint_gt(mcache_depth(&mc->rec[5]), 0);
	ck_assert_uint_eq(mcache_depth(&mc->rec[38]), 0);
	ck_assert_uint_eq(mcache_depth(&mc->rec[rl]), 0);
	heap_free(heap_malloc(48));
	mcache_trim(mc, 30000); /* and this one has slept */
	ck_assert_uint_eq(mcache_depth(&mc->rec[5]), 0);
	ck_assert_uint_le(mc->cold[5].cap, MAG_MIN);
	heap_check();
	ck_assert_ptr_nonnull(heap_malloc(48));
}
END_TEST

enum { ENDING = 24, KEPT = 200 };
static void *kept[ENDING][KEPT];

static void *ends_with_objects(void *arg)
{
	size_t id = (size_t)arg;
	struct rng r = rng_init(100 + id);
	struct count c = {0};

	for (int i = 0; i < 4000; i++) {
		size_t k = rng_below(&r, KEPT);

		if (kept[id][k])
			counted_free(&c, kept[id][k]);
		kept[id][k] = counted_malloc(&c, some_size(&r));
	}
	add_total(&c);
	return NULL;
}

/* A thread that ends gives back all but what the program holds. */
START_TEST(thread_exit)
{
	struct count c = {0};

	run_threads(ENDING, ends_with_objects);
	ck_assert_uint_eq(count_mcaches(true), 0);
	ck_assert_uint_le(count_mcaches(false), ENDING);
	check_given_back();
	check_exact(&total);
	for (int i = 0; i < ENDING; i++)
		for (int k = 0; k < KEPT; k++)
			if (kept[i][k])
				counted_free(&c, kept[i][k]);
	count_add(&total, &c);
	check_exact(&total);
	mcache_flush(mcache_self);
	mcentral_settle();
	for (unsigned k = 1; k < NSIZECLASS; k++)
		MUST_EQ(mcentral[0][k].out, 0);
	heap_check();
}
END_TEST

static void *short_life(void *arg UNUSED)
{
	void *p = heap_malloc(100);

	MUST(p && mcache_self->active);
	heap_free(p);
	return NULL;
}

/* The next thread takes over the mcache of one that has ended. */
START_TEST(adoption)
{
	for (int i = 0; i < 300; i++)
		run_threads(1, short_life);
	ck_assert_uint_eq(count_mcaches(false), 1);
	run_threads(8, short_life);
	ck_assert_uint_le(count_mcaches(false), 8);
	ck_assert_uint_eq(count_mcaches(true), 0);
	check_given_back();
}
END_TEST

/* pthread keys whose destructors go on allocating, round after round. */
enum { KEYS = 6 };
#ifdef __SANITIZE_THREAD__
enum { ROUNDS = 2 }; /* in the last round its threads are not threads */
#else
enum { ROUNDS = 9 }; /* more than the C library grants */
#endif
static pthread_key_t keys[KEYS];
static pthread_barrier_t together;
static struct late {
	struct count c;
	void *objs[KEYS][8];
	unsigned rounds[KEYS];
} late[32];
static __thread struct late *mine;

static void destructor(void *arg)
{
	size_t k = (size_t)arg - 1;

	for (int i = 0; i < 8; i++) {
		if (mine->objs[k][i])
			counted_free(&mine->c, mine->objs[k][i]);
		mine->objs[k][i] = counted_malloc(
			&mine->c, (size_t)1 << (4 + 3 * (i + k) % 18));
		MUST(mine->objs[k][i] != NULL);
	}
	for (int i = 0; i < 8; i += 2) {
		counted_free(&mine->c, mine->objs[k][i]);
		mine->objs[k][i] = NULL;
	}
	if (++mine->rounds[k] < ROUNDS)
		pthread_setspecific(keys[k], arg);
}

static void *dies_slowly(void *arg)
{
	size_t id = (size_t)arg;

	mine = &late[id];
	/* Half of them have never allocated before. */
	if (id % 2)
		counted_free(&mine->c, counted_malloc(&mine->c, 50));
	for (size_t k = 0; k < KEYS; k++)
		if (id >> k & 1 || k == id % KEYS)
			pthread_setspecific(keys[k], (void *)(k + 1));
	pthread_barrier_wait(&together);
	return NULL;
}

static void late_frees(unsigned before)
{
	unsigned n = NELEM(late);

	pthread_barrier_init(&together, NULL, n);
	/* Keys on both sides of ours: some destructors run before it. */
	for (unsigned k = 0; k < KEYS; k++) {
		if (k == before)
			ck_assert_ptr_nonnull(heap_malloc(1));
		pthread_key_create(&keys[k], destructor);
	}
	if (before >= KEYS)
		ck_assert_ptr_nonnull(heap_malloc(1));
	total.mallocs[1]++;
	total.bytes_in += 8;
	run_threads(n, dies_slowly);
	for (unsigned i = 0; i < n; i++)
		count_add(&total, &late[i].c);
	check_exact(&total);
	ck_assert_uint_eq(count_mcaches(true), 1); /* this thread */
	check_given_back();
}

START_TEST(late_frees_after_ours)
{
	late_frees(0);
}
END_TEST

START_TEST(late_frees_around_ours)
{
	late_frees(3);
}
END_TEST

START_TEST(late_frees_before_ours)
{
	late_frees(KEYS);
}
END_TEST

/* Objects change hands: freed by whoever draws them. */
enum { POOL = 2048 };
static void *pool[POOL];

static void *exchanger(void *arg)
{
	struct rng r = rng_init(200 + (size_t)arg);
	struct count c = {0};

	for (size_t i = 0; i < scaled(40000); i++) {
		void *p = NULL;
		size_t size = some_size(&r);

		if (rng_below(&r, 2)) {
			p = counted_malloc(&c, size);
			MUST(p != NULL);
			*(unsigned char *)p = (unsigned char)(uintptr_t)p;
		}
		p = xchg_acq_rel(&pool[rng_below(&r, POOL)], p);
		if (p && rng_below(&r, 16) == 0)
			p = counted_realloc(&c, p, size + 1);
		if (p)
			counted_free(&c, p);
	}
	add_total(&c);
	return NULL;
}

START_TEST(exchange)
{
	struct count c = {0};

	for (int round = 0; round < 3; round++) {
		run_threads(8, exchanger);
		check_exact(&total);
		check_given_back();
	}
	for (int i = 0; i < POOL; i++)
		if (pool[i])
			counted_free(&c, pool[i]);
	count_add(&total, &c);
	check_exact(&total);
	ck_assert_uint_eq(total.bytes_in, total.bytes_out);
}
END_TEST

/* Producers that never free, consumers that never allocate. */
static void *producer(void *arg)
{
	struct rng r = rng_init(300 + (size_t)arg);
	struct count c = {0};

	for (size_t i = 0; i < scaled(40000);) {
		void **slot = &pool[rng_below(&r, POOL)], *none = NULL, *p;

		if ((size_t)arg % 2) {
			p = xchg_acquire(slot, NULL);
			if (p)
				counted_free(&c, p);
			i++;
			continue;
		}
		i++;
		if (load_relaxed(slot))
			continue;
		p = counted_malloc(&c, 1 + rng_below(&r, 200));
		if (!__atomic_compare_exchange_n(slot, &none, p, 0,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			counted_free(&c, p);
	}
	add_total(&c);
	return NULL;
}

START_TEST(producers_and_consumers)
{
	run_threads(8, producer);
	check_exact(&total);
	check_given_back();
}
END_TEST

/* No mcache to be had: malloc says no, free finds its way all the same. */
static void *refused(void *arg)
{
	void **objs = arg;

	sysmem_fail_after = 0;
	MUST(!heap_malloc(10));
	MUST(!heap_malloc(2 * MIB));
	for (int i = 0; i < 4; i++)
		heap_free(objs[i]);
	sysmem_fail_after = -1;
	return NULL;
}

START_TEST(no_memory_for_an_mcache)
{
	void *objs[4] = {heap_malloc(10), heap_malloc(1000),
		heap_malloc(100000), heap_malloc(2 * MIB)};
	struct heapstats h;
	pthread_t t;

	pthread_create(&t, NULL, refused, objs);
	pthread_join(t, NULL);
	heap_check();
	heapstats_read(&h);
	ck_assert_uint_eq(h.objects, 0);
	ck_assert_uint_eq(h.alloc, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mcache");
	TCase *tc = new_case(s, "mcache");

	tcase_add_test(tc, first_use);
	tcase_add_test(tc, routes);
	tcase_add_test(tc, room_for_all);
	tcase_add_test(tc, random_use);
	tcase_add_test(tc, trimming);
	tcase_add_test(tc, thread_exit);
	tcase_add_test(tc, adoption);
	tcase_add_test(tc, late_frees_after_ours);
	tcase_add_test(tc, late_frees_around_ours);
	tcase_add_test(tc, late_frees_before_ours);
	tcase_add_test(tc, exchange);
	tcase_add_test(tc, producers_and_consumers);
	tcase_add_test(tc, no_memory_for_an_mcache);
	seed_init();
	return run_suite(s);
}
