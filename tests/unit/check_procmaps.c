/* SPDX-License-Identifier: MIT */
#include "os/procmaps.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int file_with(const char *text)
{
	int fd = memfd_create("maps", 0);

	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* libc's sscanf reads the same file. */
START_TEST(test_same_as_stdio)
{
	static char buf[4096];
	FILE *f = fopen("/proc/self/maps", "r");
	char text[8192], path[4096], prot[8];
	struct procmaps m;
	struct procmap v;
	int n = 0;

	ck_assert(procmaps_open(&m, buf, sizeof(buf)));
	for (; fgets(text, sizeof(text), f); n++) {
		unsigned long lo, hi, offset, inode;
		unsigned major, minor;

		path[0] = '\0';
		ck_assert_int_ge(
			sscanf(text, "%lx-%lx %4s %lx %x:%x %lu %[^\n]", &lo,
				&hi, prot, &offset, &major, &minor, &inode,
				path),
			7);
		ck_assert(procmaps_next(&m, &v));
		ck_assert_uint_eq(v.lo, lo);
		/* stdio's own buffer may have grown the heap meanwhile */
		if (strcmp(path, "[heap]"))
			ck_assert_uint_eq(v.hi, hi);
		ck_assert_int_eq(
			v.prot, (prot[0] == 'r' ? PROT_READ : 0) |
					(prot[1] == 'w' ? PROT_WRITE : 0) |
					(prot[2] == 'x' ? PROT_EXEC : 0));
		ck_assert_int_eq(v.shared, prot[3] == 's');
		ck_assert_uint_eq(v.offset, offset);
		ck_assert_uint_eq(v.major, major);
		ck_assert_uint_eq(v.minor, minor);
		ck_assert_uint_eq(v.inode, inode);
		ck_assert_str_eq(v.path, path);
	}
	ck_assert(!procmaps_next(&m, &v));
	procmaps_close(&m);
	fclose(f);
	ck_assert_int_gt(n, 10);
}
END_TEST

static char page[1 << 16];

/* Lines with paths of all lengths, read through buffers of all sizes. */
START_TEST(test_windows)
{
	static char buf[1024], path[2048];
	struct procmaps m;
	struct procmap v;
	size_t n = 0;

	memset(path, 'p', sizeof(path) - 1);
	for (int i = 0; i < 40; i++)
		n += (size_t)sprintf(page + n,
			"%x000-%x000 rw-s %08x fd:%02x %d%*s%.*s\n", i + 1,
			i + 2, i, i, i * 7, i % 3 ? 1 : 20, i ? " " : "",
			i * 17, path);
	for (size_t size = PROCMAPS_BUF_MIN; size <= sizeof(buf); size += 13) {
		procmaps_from(&m, file_with(page), buf, size);
		for (unsigned i = 0; i < 40; i++) {
			size_t len;

			ck_assert(procmaps_next(&m, &v));
			ck_assert_uint_eq(v.lo, (i + 1) << 12);
			ck_assert_uint_eq(v.hi, (i + 2) << 12);
			ck_assert(v.shared);
			ck_assert_int_eq(v.prot, PROT_READ | PROT_WRITE);
			ck_assert_uint_eq(v.offset, i);
			ck_assert_uint_eq(v.major, 0xfd);
			ck_assert_uint_eq(v.minor, i);
			ck_assert_uint_eq(v.inode, i * 7);
			len = strlen(v.path);
			ck_assert(!strncmp(v.path, path, len));
			ck_assert(len == i * 17 ||
				  (len < i * 17 && len >= size - 100));
		}
		ck_assert(!procmaps_next(&m, &v));
		procmaps_close(&m);
	}
}
END_TEST

START_TEST(test_names)
{
	static char buf[256];
	struct procmaps m;
	struct procmap v;

	procmaps_from(&m,
		file_with("7ffc0000-7ffd0000 rw-p 00000000 00:00 0"
			  "                          [stack]\n"
			  "ffffffffff600000-ffffffffff601000 --xp 00000000 "
			  "00:00 0 [vsyscall]\n"
			  "1000-2000 ---p 00000000 00:00 0 \n"
			  "2000-3000 r-xp 00001000 fd:01 42 /a b\\012c "
			  "(deleted)\n"),
		buf, sizeof(buf));
	ck_assert(procmaps_next(&m, &v));
	ck_assert_str_eq(v.path, "[stack]");
	ck_assert(procmaps_next(&m, &v));
	ck_assert_uint_eq(v.hi, 0xffffffffff601000);
	ck_assert(procmaps_next(&m, &v));
	ck_assert_str_eq(v.path, "");
	ck_assert_int_eq(v.prot, PROT_NONE);
	ck_assert(procmaps_next(&m, &v));
	ck_assert_str_eq(v.path, "/a b\\012c (deleted)");
	ck_assert(!procmaps_next(&m, &v));
	procmaps_close(&m);
}
END_TEST

START_TEST(test_garbage)
{
	static const char *const bad[] = {"", "x", "\n", "1000-2000\n",
		"1000-2000 rw-p\n", "1000 2000 rw-p 0 0:0 0\n",
		"1000-2000 rw-p 0 0:0\n", "1000-2000 rw-p 0 0:0 \n",
		"-2000 rw-p 0 0:0 0\n", "1000-2000 rw 0 0:0 0\n",
		"1000-2000 rw-p 0 00 0\n", "1000-2000 rw-p 00000000 00:00 0"};
	static char buf[256];
	struct procmaps m;
	struct procmap v;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		procmaps_from(&m, file_with(bad[i]), buf, sizeof(buf));
		ck_assert_msg(!procmaps_next(&m, &v), "'%s'", bad[i]);
		procmaps_close(&m);
	}
}
END_TEST

START_TEST(test_no_descriptor)
{
	struct rlimit all, none;
	static char buf[256];
	struct procmaps m;
	struct procmap v;

	getrlimit(RLIMIT_NOFILE, &all);
	none = (struct rlimit){0, all.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	errno = 77;
	ck_assert(!procmaps_open(&m, buf, sizeof(buf)));
	ck_assert(!procmaps_next(&m, &v));
	procmaps_close(&m);
	ck_assert_int_eq(errno, 77);
	setrlimit(RLIMIT_NOFILE, &all);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("procmaps");
	TCase *tc = tcase_create("procmaps");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, test_same_as_stdio);
	tcase_add_test(tc, test_windows);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_garbage);
	tcase_add_test(tc, test_no_descriptor);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
