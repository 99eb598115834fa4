/* SPDX-License-Identifier: MIT */
/*
 * Snapshots, scaling, differences and the text form against plain models. The
 * protobuf form has its readers in tests/serve/test_pprof.py.
 */
#include "observe/pprof.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BUCKETS = 3000 };

static uint32_t seed = 7;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

static const uintptr_t stack[] = {0x1001, 0x2002, 0x3003, 0x1001};

/* Stack n is the first n of these; of generation n / 3. */
static size_t frames(uint32_t n, uintptr_t *pc, size_t max)
{
	ck_assert_uint_ge(max, n);
	memcpy(pc, stack, n * sizeof(*pc));
	return n;
}

static uint32_t generation(uint32_t n)
{
	return n / 3;
}

struct cursor {
	const struct pprof_bucket *b;
	size_t n;
};

static bool next(void *arg, struct pprof_bucket *b)
{
	struct cursor *c = arg;

	if (!c->n)
		return false;
	*b = *c->b++;
	c->n--;
	return true;
}

static struct pprof_bucket random_bucket(uint64_t id)
{
	struct pprof_bucket b = {.id = id,
		.stack = random_below(NELEM(stack) + 1),
		.size = 16 << random_below(12)};

	b.allocs = 1 + random_below(1000);
	b.alloc_bytes = b.allocs * (int64_t)b.size;
	b.inuse = random_below((uint32_t)b.allocs + 1);
	b.inuse_bytes = b.inuse * (int64_t)b.size;
	return b;
}

static struct pprof_snapshot taken(const struct pprof_bucket *b, size_t n)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	struct cursor c = {b, n};

	ck_assert_int_eq(pprof_take(&s, next, &c), 0);
	ck_assert_uint_eq(s.n, n);
	return s;
}

START_TEST(miss_is_expm1)
{
	for (double x = 1e-12; x < 100; x *= 1.01) {
		double want = -expm1(-x), got = pprof_miss(x);

		ck_assert_msg(fabs(got - want) <= 1e-15 * want,
			"x %g: %.17g, not %.17g", x, got, want);
	}
	ck_assert(pprof_miss(1e300) == 1);
	ck_assert(pprof_miss(0) == 0);
}
END_TEST

START_TEST(scaling)
{
	struct pprof_bucket b[4] = {
		{.id = 1, .size = 16, .allocs = 3, .alloc_bytes = 48,
			.inuse = 0, .inuse_bytes = 0},
		{.id = 2, .size = 524288, .allocs = 10, .alloc_bytes = 5242880,
			.inuse = 4, .inuse_bytes = 2097152},
		{.id = 3, .size = 1 << 30, .allocs = 1,
			.alloc_bytes = 1 << 30, .inuse = 1,
			.inuse_bytes = 1 << 30},
		{.id = 4},
	};
	struct pprof_snapshot s = taken(b, 4);
	struct pprof_bucket *g = pprof_buckets(&s);

	pprof_scale(&s, 1);
	ck_assert_mem_eq(g, b, sizeof(b));
	pprof_scale(&s, 0);
	ck_assert_mem_eq(g, b, sizeof(b));
	pprof_scale(&s, 524288);
	/* 3 / (1 - exp(-16/524288)), and so on. */
	ck_assert_int_eq(g[0].allocs, (int64_t)(3 / -expm1(-16 / 524288.)));
	ck_assert_int_eq(g[0].alloc_bytes,
		(int64_t)(48 / -expm1(-16 / 524288.)));
	ck_assert_int_eq(g[0].inuse, 0);
	ck_assert_int_eq(g[1].allocs, 15);
	ck_assert_int_eq(g[1].alloc_bytes, 8294114);
	ck_assert_int_eq(g[1].inuse, 6);
	ck_assert_int_eq(g[1].inuse_bytes, 3317645);
	ck_assert_int_eq(g[2].allocs, 1);
	ck_assert_int_eq(g[2].inuse_bytes, 1 << 30);
	ck_assert_int_eq(g[3].allocs, 0);
	pprof_free(&s);
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
}
END_TEST

/* What the difference must be, by brute force. */
static struct pprof_bucket expected(const struct pprof_bucket *b,
	const struct pprof_bucket *old, size_t n_old)
{
	struct pprof_bucket e = *b;

	for (size_t i = 0; i < n_old; i++) {
		if (old[i].id != b->id)
			continue;
		e.allocs -= old[i].allocs;
		e.alloc_bytes -= old[i].alloc_bytes;
		e.inuse -= old[i].inuse;
		e.inuse_bytes -= old[i].inuse_bytes;
	}
	return e;
}

static void shuffle(struct pprof_bucket *b, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = random_below((uint32_t)i);
		struct pprof_bucket t = b[i - 1];

		b[i - 1] = b[j];
		b[j] = t;
	}
}

START_TEST(difference)
{
	static struct pprof_bucket old[MAX_BUCKETS], new[MAX_BUCKETS];
	struct pprof_snapshot a, b;
	size_t n_new, n_old, kept = 0;

	seed += (uint32_t)_i;
	n_new = 1 + random_below(MAX_BUCKETS / 4);
	n_old = random_below((uint32_t)n_new);
	for (size_t i = 0; i < n_new; i++)
		new[i] = random_bucket(i * 17 % 1000003);
	memcpy(old, new, n_old * sizeof(*old));
	for (size_t i = 0; i < n_old; i++)
		if (random_below(2))
			old[i] = random_bucket(old[i].id);
	shuffle(old, n_old);
	shuffle(new, n_new);
	a = taken(old, n_old);
	b = taken(new, n_new);
	b.time_ns = a.time_ns + 12345;
	pprof_subtract(&b, &a);
	ck_assert_int_eq(b.duration_ns, 12345);
	for (size_t i = 0; i < n_new; i++) {
		struct pprof_bucket e = expected(&new[i], old, n_old);
		const struct pprof_bucket *got = pprof_buckets(&b);
		size_t k = 0;

		while (k < b.n && got[k].id != e.id)
			k++;
		if (!e.allocs && !e.alloc_bytes && !e.inuse &&
			!e.inuse_bytes) {
			ck_assert_uint_eq(k, b.n);
			continue;
		}
		ck_assert_uint_lt(k, b.n);
		ck_assert_uint_eq(got[k].size, e.size);
		ck_assert_uint_eq(got[k].stack, e.stack);
		ck_assert_int_eq(got[k].allocs, e.allocs);
		ck_assert_int_eq(got[k].alloc_bytes, e.alloc_bytes);
		ck_assert_int_eq(got[k].inuse, e.inuse);
		ck_assert_int_eq(got[k].inuse_bytes, e.inuse_bytes);
		kept++;
	}
	ck_assert_uint_eq(b.n, kept);
	pprof_free(&a);
	pprof_free(&b);
}
END_TEST

START_TEST(sorting)
{
	static struct pprof_bucket b[MAX_BUCKETS];
	int64_t sum = 0, last = INT64_MAX;
	struct pprof_snapshot s;
	size_t n;

	seed += (uint32_t)_i;
	n = random_below(MAX_BUCKETS);
	for (size_t i = 0; i < n; i++) {
		b[i] = random_bucket(i);
		sum += b[i].inuse_bytes;
	}
	s = taken(b, n);
	pprof_sort(&s);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_le(pprof_buckets(&s)[i].inuse_bytes, last);
		last = pprof_buckets(&s)[i].inuse_bytes;
		sum -= last;
	}
	ck_assert_int_eq(sum, 0);
	pprof_free(&s);
}
END_TEST

static void trailer(struct fmt *f)
{
	fmt_str(f, "\n# runtime.MemStats\n# Alloc = 5\n");
}

START_TEST(text)
{
	static const struct pprof_mapping maps[] = {
		{.start = 0x400000, .limit = 0x402000, .offset = 0x1000,
			.file = "/bin/app"},
		{.start = 0x7f0000001000, .limit = 0x7f0000002000,
			.file = "/lib/l.so"},
	};
	struct pprof_bucket b[2] = {
		{.id = 1, .stack = 1, .size = 16, .allocs = 2,
			.alloc_bytes = 32, .inuse = 1, .inuse_bytes = 16},
		{.id = 2, .stack = 3, .size = 32, .allocs = 9,
			.alloc_bytes = 288, .inuse = 9, .inuse_bytes = 288},
	};
	struct pprof_options o = {.rate = 524288, .mappings = maps,
		.nmappings = 2, .frames = frames};
	struct pprof_snapshot s = taken(b, 2);
	char buf[1000];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	ck_assert_int_eq(pprof_write_text(&f, &s, &o, trailer), 0);
	ck_assert_str_eq(fmt_cstr(&f),
		"heap profile: 10: 304 [11: 320] @ heap/1048576\n"
		"9: 288 [9: 288] @ 0x1001 0x2002 0x3003\n"
		"1: 16 [2: 32] @ 0x1001\n"
		"\n# runtime.MemStats\n# Alloc = 5\n"
		"\nMAPPED_LIBRARIES:\n"
		"00400000-00402000 r-xp 00001000 00:00 0 /bin/app\n"
		"7f0000001000-7f0000002000 r-xp 00000000 00:00 0 /lib/l.so\n");
	pprof_free(&s);

	/* Nothing freed yet: the halves of the first line must differ. */
	s = taken(b + 1, 1);
	o.nmappings = 0;
	fmt_init(&f, buf, sizeof(buf), -1);
	pprof_write_text(&f, &s, &o, NULL);
	ck_assert_str_eq(fmt_cstr(&f),
		"heap profile: 9: 288 [9: 289] @ heap/1048576\n"
		"9: 288 [9: 288] @ 0x1001 0x2002 0x3003\n"
		"\nMAPPED_LIBRARIES:\n");
	pprof_free(&s);
}
END_TEST

static size_t names(void *arg UNUSED, uintptr_t address UNUSED,
	uint32_t of UNUSED, struct pprof_line *line, size_t max)
{
	for (size_t i = 0; i < max; i++)
		line[i] = (struct pprof_line){"f", "f.c", UINT64_MAX};
	return max;
}

/* Largest numbers everywhere: nothing may be cut off. */
START_TEST(extremes)
{
	static const uint8_t build_id[32] = {255};
	static const struct pprof_mapping map = {.limit = UINTPTR_MAX,
		.offset = UINT64_MAX, .file = "/x", .build_id = build_id,
		.build_id_len = 32, .died = UINT32_MAX};
	struct pprof_options o = {.rate = UINT64_MAX, .allocs = true,
		.mappings = &map, .nmappings = 1, .names = names,
		.frames = frames, .generation = generation};
	struct pprof_bucket b = {.id = UINT64_MAX, .stack = 4,
		.size = UINT64_MAX, .allocs = INT64_MIN,
		.alloc_bytes = INT64_MIN, .inuse = -1, .inuse_bytes = -1};
	struct pprof_snapshot s = taken(&b, 1);
	struct grow g = GROW_INIT(MIB);
	struct fmt f;

	s.time_ns = s.duration_ns = INT64_MIN;
	grow_fmt(&g, &f);
	ck_assert_int_eq(pprof_write(&f, &s, &o), 0);
	ck_assert(grow_fmt_end(&g, &f));
	/* 3 locations with 32 lines of 15 bytes each at least. */
	ck_assert_uint_gt(g.len, 3 * 32 * 15);
	grow_free(&g);
	pprof_free(&s);
}
END_TEST

/* Every refused mapping ends in ENOMEM, and all memory comes back. */
START_TEST(refused_memory)
{
	static struct pprof_bucket b[400];
	struct pprof_mapping map = {.limit = UINTPTR_MAX, .file = "/x",
		.died = UINT32_MAX};
	struct pprof_options o = {.rate = 1, .mappings = &map, .nmappings = 1,
		.names = names, .frames = frames};
	struct cursor c;
	char out[256];
	int error = ENOMEM;

	for (size_t i = 0; i < NELEM(b); i++)
		b[i] = random_bucket(i);
	for (long after = 0; error; after++) {
		struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
		struct fmt f;

		ck_assert_int_lt(after, 30);
		fmt_init(&f, out, sizeof(out), -1);
		c = (struct cursor){b, NELEM(b)};
		sysmem_fail_after = after;
		error = pprof_take(&s, next, &c);
		if (!error)
			error = pprof_write_gz(&f, &s, &o);
		sysmem_fail_after = -1;
		ck_assert(!error || error == ENOMEM);
		pprof_free(&s);
		ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pprof");
	TCase *t = tcase_create("pprof");
	SRunner *r;
	int failed;

	tcase_add_test(t, miss_is_expm1);
	tcase_add_test(t, scaling);
	tcase_add_loop_test(t, difference, 0, 10);
	tcase_add_loop_test(t, sorting, 0, 10);
	tcase_add_test(t, text);
	tcase_add_test(t, extremes);
	tcase_add_test(t, refused_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
