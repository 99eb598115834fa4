/* SPDX-License-Identifier: MIT */
/* gzstore against gzip(1) and Python's reader, and CRC-32's check value. */
#include "observe/gzstore.h"
#include "os/grow.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(crc_check_value)
{
	uint32_t crc = crc32_add(0, "12345", 5);

	/* The check value that every catalogue of CRCs gives. */
	ck_assert_uint_eq(crc32_add(crc, "6789", 4), 0xcbf43926);
	ck_assert_uint_eq(crc32_add(0, "", 0), 0);
}
END_TEST

/* Lengths around the ends of blocks, with small and with full-size blocks. */
static const struct {
	size_t size, cap;
} cases[] = {
	{0, 1},	      {1, 1},	     {2, 1},	     {10, 3},
	{65535, 65535}, {65536, 65535}, {65536, 1 << 20}, {1000000, 65535},
	{4096, 4096}, {4097, 4096},
};

START_TEST(readers_agree)
{
	size_t n = cases[_i].size, cap = cases[_i].cap;
	char path[] = "/tmp/gzstore.XXXXXX", cmd[512];
	char *plain = malloc(n + 1), *buf = malloc(cap), out[100];
	int fd = mkstemp(path);
	struct gzstore gz;
	struct fmt f;

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < n; i++)
		plain[i] = (char)((i * i) >> 7 ^ i);
	fmt_init(&f, out, sizeof(out), fd);
	gzstore_begin(&gz, &f, buf, cap);
	for (size_t at = 0, step = 1; at < n; at += step, step = step * 2 + 1) {
		step = MIN(step, n - at);
		fmt_mem(&gz.in, plain + at, step);
	}
	gzstore_end(&gz);
	ck_assert_int_eq(fmt_flush(&f), 0);
	close(fd);

	snprintf(cmd, sizeof(cmd), "gzip -t <%s", path);
	ck_assert_int_eq(system(cmd), 0);
	snprintf(cmd, sizeof(cmd),
		"python3 -c \"import gzip\n"
		"d=gzip.open('%s').read()\n"
		"assert d==bytes(((i*i)>>7^i)&255 for i in range(%zu))\"",
		path, n);
	ck_assert_int_eq(system(cmd), 0);
	unlink(path);
	free(plain);
	free(buf);
}
END_TEST

START_TEST(growing_output)
{
	struct grow g = GROW_INIT(1 << 20);
	char buf[1000], chunk[777];
	struct gzstore gz;
	struct fmt f;

	memset(chunk, 'x', sizeof(chunk));
	grow_fmt(&g, &f);
	gzstore_begin(&gz, &f, buf, sizeof(buf));
	for (int i = 0; i < 1000; i++)
		fmt_mem(&gz.in, chunk, sizeof(chunk));
	gzstore_end(&gz);
	ck_assert(grow_fmt_end(&g, &f));
	/* Header, trailer, and five bytes for each block. */
	ck_assert_uint_eq(g.len, 18 + 777000 + 777 * 5);
	grow_free(&g);

	/* A limit that is too small is reported, and nothing is overrun. */
	g.limit = 64 * KIB;
	grow_fmt(&g, &f);
	gzstore_begin(&gz, &f, buf, sizeof(buf));
	for (int i = 0; i < 1000; i++)
		fmt_mem(&gz.in, chunk, sizeof(chunk));
	gzstore_end(&gz);
	ck_assert(!grow_fmt_end(&g, &f));
	ck_assert_uint_eq(g.len, 64 * KIB);
	grow_free(&g);
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
}
END_TEST

START_TEST(no_memory)
{
	struct grow g = GROW_INIT(1 << 20);
	struct fmt f;

	sysmem_fail_after = 0;
	grow_fmt(&g, &f);
	fmt_str(&f, "lost");
	ck_assert(!grow_fmt_end(&g, &f));
	ck_assert_ptr_null(g.p);
	ck_assert_ptr_null(grow_add(&g, 1));
	sysmem_fail_after = -1;
	ck_assert_ptr_nonnull(grow_add(&g, 100000));
	ck_assert_uint_eq(g.len, 100000);
	ck_assert(!grow_room(&g, SIZE_MAX));
	grow_free(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gzstore");
	TCase *t = tcase_create("gzstore");
	SRunner *r;
	int failed;

	tcase_add_test(t, crc_check_value);
	tcase_add_loop_test(t, readers_agree, 0, (int)NELEM(cases));
	tcase_add_test(t, growing_output);
	tcase_add_test(t, no_memory);
	tcase_set_timeout(t, 240);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
