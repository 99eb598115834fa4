/* SPDX-License-Identifier: MIT */
/*
 * The reader and the writer of profiles against each other, and the reader
 * against damaged input: whatever it accepts must be consistent enough to be
 * written, and read again as the same. Meant for the sanitizers' builds.
 */
#include "profile.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MUTATIONS = 20000 };

static uint32_t seed = 11;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

/* Two samples, one location with two lines, all fields but unknown ones. */
static void fill(struct profile *p)
{
	static const uint64_t ids[] = {7, 9, 7};

	*p = (struct profile){.time_ns = 1700000000000000000,
		.duration_ns = -1,
		.period = 524288,
		.ntype = 2,
		.nsample = 2,
		.nmapping = 1,
		.nlocation = 2,
		.nfunction = 2,
		.ncomment = 2};
	profile_string(p, "");
	p->type = mem_zero(2, sizeof(*p->type));
	p->type[0] = (struct profile_type){
		profile_string(p, "objects"), profile_string(p, "count")};
	p->type[1] = (struct profile_type){
		profile_string(p, "space"), profile_string(p, "bytes")};
	p->period_type = p->type[1];
	p->drop_frames = profile_string(p, "malloc|operator new.*");
	p->default_type = p->type[0].type;
	p->comment = mem_zero(2, sizeof(*p->comment));
	p->comment[1] = profile_string(p, "why");
	p->sample = mem_zero(2, sizeof(*p->sample));
	for (int i = 0; i < 2; i++) {
		struct profile_sample *s = &p->sample[i];

		s->nlocation = i ? 3 : 0;
		s->location = mem_zero(3, sizeof(uint64_t));
		memcpy(s->location, ids, sizeof(ids));
		s->nvalue = 2;
		s->value = mem_zero(2, sizeof(int64_t));
		s->value[i] = i ? INT64_MIN : 300;
		s->nlabel = 1;
		s->label = mem_zero(1, sizeof(*s->label));
		s->label[0] = (struct profile_label){
			p->type[1].unit, 0, p->type[0].unit, 48};
	}
	p->mapping = mem_zero(1, sizeof(*p->mapping));
	p->mapping[0] = (struct profile_mapping){1, 0x1000, UINT64_MAX, 64,
		profile_string(p, "/bin/true"), profile_string(p, "abcdef"),
		true, false, true, false};
	p->location = mem_zero(2, sizeof(*p->location));
	p->location[0] = (struct profile_location){.id = 9, .address = 5};
	p->location[1] = (struct profile_location){7, 1, 0x1004,
		mem_zero(2, sizeof(struct profile_line)), 2, true};
	p->location[1].line[0] = (struct profile_line){3, 10, 2};
	p->location[1].line[1] = (struct profile_line){2, -1, 0};
	p->function = mem_zero(2, sizeof(*p->function));
	p->function[0] = (struct profile_function){3, p->comment[1], 0, 0, 8};
	p->function[1] = (struct profile_function){
		2, 0, p->comment[1], p->mapping[0].file, 0};
}

static void unzip(const struct buf *gz, struct buf *plain)
{
	z_stream z = {.next_in = (Bytef *)gz->data, .avail_in = (uInt)gz->len};

	plain->len = 0;
	z.next_out = (Bytef *)buf_room(plain, 1 << 16);
	z.avail_out = 1 << 16;
	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	plain->len = z.total_out;
	inflateEnd(&z);
}

static void write_plain(const struct profile *p, struct buf *plain)
{
	struct buf gz = {0};

	profile_write(p, &gz);
	unzip(&gz, plain);
	buf_free(&gz);
}

START_TEST(what_is_written_reads_the_same)
{
	struct buf a = {0}, b = {0}, gz = {0};
	struct profile p, q;
	const char *why;

	fill(&p);
	write_plain(&p, &a);
	profile_write(&p, &gz);
	ck_assert_msg(profile_read(&q, gz.data, gz.len, &why), "%s", why);
	write_plain(&q, &b);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.data, b.data, a.len);
	ck_assert_int_eq(q.sample[1].value[1], INT64_MIN);
	ck_assert_int_eq(q.duration_ns, -1);
	ck_assert_uint_eq(q.location[1].nline, 2);
	ck_assert_int_eq(q.location[1].line[1].line, -1);
	ck_assert_str_eq(profile_text(&q, q.mapping[0].file), "/bin/true");
	ck_assert_uint_eq(profile_string(&q, "why"), q.comment[1]);
	/* Not in gzip, and cut off in gzip. */
	profile_free(&q);
	ck_assert(profile_read(&q, a.data, a.len, &why));
	profile_free(&q);
	for (size_t n = 0; n < gz.len; n++)
		ck_assert(!profile_read(&q, gz.data, n, &why));
	profile_free(&p);
	buf_free(&a);
	buf_free(&b);
	buf_free(&gz);
}
END_TEST

static void damage(struct buf *b)
{
	for (uint32_t n = 1 + random_below(3); n--;) {
		size_t at = random_below((uint32_t)b->len);

		switch (random_below(4)) {
		case 0:
			b->data[at] = (char)random_below(256);
			break;
		case 1:
			b->data[at] ^= (char)(1 << random_below(8));
			break;
		case 2:
			b->len = MAX(at, (size_t)1);
			break;
		case 3:
			memmove(b->data + at, b->data + at + 1,
				b->len - at - 1);
			b->len -= b->len > 1;
		}
	}
}

START_TEST(damaged_input)
{
	struct buf good = {0}, first = {0}, second = {0};
	struct profile p, q;
	unsigned accepted = 0;
	const char *why;

	fill(&p);
	write_plain(&p, &good);
	profile_free(&p);
	for (int i = 0; i < MUTATIONS; i++) {
		/* A copy of its own: the sanitizer sees a step behind it. */
		struct buf b = {0};
		char *exact;

		buf_add(&b, good.data, good.len);
		damage(&b);
		exact = mem_zero(b.len, 1);
		memcpy(exact, b.data, b.len);
		if (profile_read(&p, exact, b.len, &why)) {
			accepted++;
			write_plain(&p, &first);
			ck_assert(
				profile_read(&q, first.data, first.len, &why));
			write_plain(&q, &second);
			ck_assert_uint_eq(first.len, second.len);
			ck_assert_mem_eq(first.data, second.data, first.len);
			profile_free(&p);
			profile_free(&q);
		}
		free(exact);
		buf_free(&b);
	}
	/* Most of it is text: many changes do no harm. */
	ck_assert_uint_gt(accepted, MUTATIONS / 20);
	ck_assert_uint_lt(accepted, MUTATIONS - MUTATIONS / 20);
	buf_free(&good);
	buf_free(&first);
	buf_free(&second);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("profile");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, what_is_written_reads_the_same);
	tcase_add_test(t, damaged_input);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
