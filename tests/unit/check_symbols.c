/* SPDX-License-Identifier: MIT */
/* Names against nm's, and how stacks are printed. */
#include "profile/stackprint.h"
#include "profile/stacktab.h"
#include "profile/symbols.h"
#include "profile/unwind.h"

#include <check.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/capture.h"

static const struct module *module_of(uintptr_t at)
{
	modules_refresh();
	return modules_find(at, modules_generation());
}

/*
 * Every function that nm lists: its first and last byte have a name that nm
 * gives to that address, too.
 */
static size_t compare_with_nm(const struct module *m, const char *options)
{
	char cmd[4200], line[4096], name[4000], type;
	unsigned long value, size;
	size_t n = 0, aliases = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "nm -n -S --defined-only %s '%s'", options,
		m->path);
	f = popen(cmd, "r");
	while (fgets(line, sizeof(line), f)) {
		uintptr_t first = 1, last = 1;
		const char *ours;

		if (sscanf(line, "%lx %lx %c %3999s", &value, &size, &type,
			    name) != 4 ||
			!strchr("TtWwi", type) || !size)
			continue;
		name[strcspn(name, "@")] = 0;
		ours = symbols_find(m, m->bias + value, &first);
		ck_assert_msg(ours && first == 0, "%s: %s", name, ours);
		ck_assert_ptr_eq(symbols_find(m, m->bias + value, &last), ours);
		aliases += strcmp(ours, name) != 0;
		n++;
	}
	pclose(f);
	ck_assert_uint_lt(aliases, n / 2 + 1);
	return n;
}

START_TEST(names_of_this_program)
{
	const struct module *m = module_of((uintptr_t)&symbols_find);

	ck_assert_uint_gt(compare_with_nm(m, ""), 100);
}
END_TEST

START_TEST(names_of_libc)
{
	void *qsort_ = dlsym(dlopen("libc.so.6", RTLD_LAZY), "qsort");
	const struct module *m = module_of((uintptr_t)qsort_);
	uintptr_t offset;

	ck_assert_uint_gt(compare_with_nm(m, "-D"), 1000);
	ck_assert_str_eq(
		symbols_find(m, (uintptr_t)qsort_ + 5, &offset), "qsort");
	ck_assert_uint_eq(offset, 5);
}
END_TEST

/* The plain one of several names. */
int symbols_alias_target(void);
int symbols_alias_target(void)
{
	return 7;
}
int __symbols_alias_target(void) __attribute__((alias("symbols_alias_target")));
int ___symbols(void) __attribute__((alias("symbols_alias_target")));

START_TEST(aliases)
{
	uintptr_t at = (uintptr_t)&symbols_alias_target, offset;

	ck_assert_int_eq(__symbols_alias_target() + ___symbols(), 14);
	ck_assert_str_eq(symbols_find(module_of(at), at, &offset),
		"symbols_alias_target");
}
END_TEST

static int number;

START_TEST(nameless)
{
	uintptr_t here = (uintptr_t)&symbols_find, offset;
	const struct module *m = module_of(here);
	struct module other = *m;

	/* Data is not a function. */
	ck_assert_ptr_null(symbols_find(m, (uintptr_t)&number, &offset));
	ck_assert_ptr_null(symbols_find(m, m->lo, &offset));
	/* Another build of the file; a file that is gone; no ELF file. */
	ck_assert_uint_gt(other.build_id_len, 0);
	other.build_id[3] ^= 1;
	ck_assert_ptr_null(symbols_find(&other, here, &offset));
	symbols_forget();
	other = *m;
	ck_assert_ptr_nonnull(symbols_find(&other, here, &offset));
	symbols_forget();
	other.path = "/nonexistent/file";
	ck_assert_ptr_null(symbols_find(&other, here, &offset));
	symbols_forget();
	other.path = "/proc/self/maps";
	ck_assert_ptr_null(symbols_find(&other, here, &offset));
	symbols_forget();
	ck_assert_ptr_nonnull(symbols_find(m, here, &offset));
}
END_TEST

/* A file with its bytes changed at random: no name or a wrong one, no crash. */
START_TEST(broken_files)
{
	const struct module *m = module_of((uintptr_t)&symbols_find);
	char path[] = "/tmp/symbols.XXXXXX";
	struct module copy = *m;
	int fd = mkstemp(path), from = open(m->path, O_RDONLY);
	unsigned seed = 17;
	struct stat st;
	char *image;

	fstat(from, &st);
	image = malloc((size_t)st.st_size);
	ck_assert_int_eq(read(from, image, (size_t)st.st_size), st.st_size);
	copy.path = path;
	copy.build_id_len = 0;
	for (int i = 0; i < 150; i++) {
		Elf64_Ehdr eh;
		uintptr_t offset;
		off_t length = st.st_size;

		memcpy(&eh, image, sizeof(eh));
		ck_assert_int_eq(
			pwrite(fd, image, (size_t)st.st_size, 0), st.st_size);
		for (int k = 0; k < 4; k++) {
			char byte = (char)rand_r(&seed);
			off_t at = (unsigned)rand_r(&seed) % sizeof(eh);

			if (k > 0) /* a section header */
				at = (off_t)eh.e_shoff +
				     (unsigned)rand_r(&seed) %
					     (eh.e_shnum * 64u);
			ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		}
		if (i % 5 == 0)
			length = (unsigned)rand_r(&seed) % st.st_size;
		ck_assert_int_eq(ftruncate(fd, length), 0);
		for (size_t k = 0; k < 50; k++) {
			const char *name = symbols_find(&copy,
				copy.lo + (unsigned)rand_r(&seed) %
						  (copy.hi - copy.lo),
				&offset);

			number += name && name[0];
		}
		symbols_forget();
	}
	unlink(path);
	close(fd);
	close(from);
	free(image);
}
END_TEST

NOINLINE static void caller_of_print(struct fmt *f)
{
	stackprint_here(f);
	number++;
}

START_TEST(printed)
{
	char text[8192], *line, *save;
	struct fmt f;
	unsigned long at;
	unsigned n;

	modules_refresh();
	fmt_init(&f, text, sizeof(text), -1);
	caller_of_print(&f);
	fmt_cstr(&f);
	ck_assert(!f.truncated);
	line = strtok_r(text, "\n", &save);
	ck_assert_int_eq(sscanf(line, "    #%u 0x%lx in ", &n, &at), 2);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_lt(at - (uintptr_t)&caller_of_print, 100);
	ck_assert_ptr_nonnull(strstr(line, " in caller_of_print+0x"));
	ck_assert_ptr_nonnull(strstr(line, "check_symbols+0x"));
	line = strtok_r(NULL, "\n", &save);
	ck_assert_ptr_nonnull(strstr(line, "#1 0x"));
	ck_assert_ptr_nonnull(strstr(line, " in printed_fn+0x"));
	for (n = 2; (line = strtok_r(NULL, "\n", &save)); n++)
		if (strstr(line, " in main+0x"))
			break;
	ck_assert_ptr_nonnull(line);
}
END_TEST

START_TEST(printed_from_the_table)
{
	uintptr_t pc[] = {(uintptr_t)&symbols_find + 11, 0x1234, 0};
	char text[1024], expected[200];
	struct fmt f;

	modules_refresh();
	fmt_init(&f, text, sizeof(text), -1);
	stackprint_id(&f, stacktab_intern(pc, 2, modules_generation()));
	fmt_cstr(&f);
	sprintf(expected, "    #0 0x%lx in symbols_find+0xa (",
		(unsigned long)pc[0] - 1);
	ck_assert_msg(!strncmp(text, expected, strlen(expected)), "%s", text);
	ck_assert_ptr_nonnull(strstr(text, ")\n    #1 0x1233\n"));
}
END_TEST

START_TEST(fatal_stack)
{
	char *text;

	modules_refresh();
	capture_start(2);
	stackprint_fatal();
	text = capture_end();
	ck_assert_msg(strstr(text, "    #0 0x") == text, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, " in fatal_stack_fn+0x"));
	ck_assert_int_eq(text[strlen(text) - 1], '\n');
	free(text);
	/* The library's own frames are left out. */
	unwind_own_text(
		(uintptr_t)&fatal_stack_fn, (uintptr_t)&fatal_stack_fn + 4096);
	capture_start(2);
	stackprint_fatal();
	text = capture_end();
	ck_assert_ptr_null(strstr(text, "fatal_stack_fn"));
	ck_assert_ptr_nonnull(strstr(text, " in main+0x"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("symbols");
	TCase *tc = tcase_create("symbols");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, names_of_this_program);
	tcase_add_test(tc, names_of_libc);
	tcase_add_test(tc, aliases);
	tcase_add_test(tc, nameless);
	tcase_add_test(tc, broken_files);
	tcase_add_test(tc, printed);
	tcase_add_test(tc, printed_from_the_table);
	tcase_add_test(tc, fatal_stack);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
