/* SPDX-License-Identifier: MIT */
/* modules against dl_iterate_phdr, dladdr and readelf. */
#include "profile/modules.h"

#include <check.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int find_one(struct dl_phdr_info *info, size_t size, void *count)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;
		const struct module *m;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		m = modules_find(at, modules_generation());
		ck_assert_ptr_nonnull(m);
		ck_assert_uint_eq(m->bias, info->dlpi_addr);
		ck_assert_uint_ge(m->ntext, 1);
		ck_assert_uint_eq(m->text[0].lo, at);
		ck_assert_uint_eq(m->text[0].hi, at + ph->p_memsz);
		ck_assert_uint_eq(m->text[0].offset, ph->p_offset);
		ck_assert_ptr_eq(
			m, modules_find(at + ph->p_memsz - 1, m->born));
		if (info->dlpi_name[0])
			ck_assert_str_eq(m->path, info->dlpi_name);
	}
	++*(size_t *)count;
	return 0;
}

START_TEST(all_of_them)
{
	size_t count = 0;

	modules_refresh();
	dl_iterate_phdr(find_one, &count);
	ck_assert_uint_gt(count, 3);
	ck_assert_uint_le(modules_count(), count);
	/* A second look finds nothing new. */
	count = modules_count();
	modules_refresh();
	ck_assert_uint_eq(modules_count(), count);
	modules_check();
}
END_TEST

START_TEST(this_program)
{
	uintptr_t here = (uintptr_t)&modules_refresh;
	char exe[4096] = "";
	const struct module *m;

	ck_assert(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	ck_assert_ptr_null(modules_find(here, 0));
	ck_assert(!modules_note(here));
	m = modules_find(here, 0);
	ck_assert_ptr_nonnull(m);
	ck_assert_str_eq(m->path, exe);
	ck_assert_uint_eq(modules_count(), 1);
	ck_assert(!modules_note(here));
	ck_assert_uint_eq(modules_count(), 1);
	/* Both ways of seeing a module agree that it is the same one. */
	modules_refresh();
	ck_assert_ptr_eq(modules_find(here, 0), m);
	for (size_t i = 1; i < modules_count(); i++)
		ck_assert_str_ne(modules_at(i)->path, exe);
	ck_assert_ptr_null(modules_find((uintptr_t)&m, 0));
	ck_assert(!modules_note((uintptr_t)&m));
	ck_assert(!modules_note(0));
}
END_TEST

START_TEST(build_id)
{
	char cmd[4200], hex[80] = "", ours[80];
	const struct module *m;
	FILE *f;

	modules_refresh();
	m = modules_find((uintptr_t)&qsort, 0);
	if (!m) /* an address in the program's own PLT */
		m = modules_find((uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), 0);
	ck_assert_ptr_nonnull(m);
	snprintf(cmd, sizeof(cmd),
		"readelf -n '%s' | sed -n 's/.*Build ID: //p'", m->path);
	f = popen(cmd, "r");
	ck_assert_ptr_nonnull(fgets(hex, sizeof(hex), f));
	pclose(f);
	hex[strcspn(hex, "\n")] = 0;
	for (size_t i = 0; i < m->build_id_len; i++)
		sprintf(ours + 2 * i, "%02x", m->build_id[i]);
	ck_assert_str_eq(ours, hex);
}
END_TEST

START_TEST(comes_and_goes)
{
	void *handle;
	uintptr_t at;
	const struct module *m;
	size_t count;

	modules_refresh();
	count = modules_count();
	handle = dlopen(PLUGIN, RTLD_NOW);
	ck_assert_ptr_nonnull(handle);
	at = (uintptr_t)dlsym(handle, "plugin_run");
	modules_refresh();
	ck_assert_uint_eq(modules_count(), count + 1);
	m = modules_find(at, modules_generation());
	ck_assert_ptr_eq(m, modules_at(count));
	ck_assert_str_eq(m->path, PLUGIN);
	dlclose(handle);
	modules_refresh();
	/* It keeps its name, and gets no second entry at the same place. */
	ck_assert_ptr_eq(modules_find(at, modules_generation()), m);
	handle = dlopen(PLUGIN, RTLD_NOW);
	ck_assert_uint_eq((uintptr_t)dlsym(handle, "plugin_run"), at);
	ck_assert(!modules_note(at));
	ck_assert_uint_eq(modules_count(), count + 1);
	ck_assert_uint_eq(modules_generation(), 0);
	dlclose(handle);
	modules_check();
}
END_TEST

/* Taken at any moment, the lock must not be left behind in the child. */
START_TEST(forks)
{
	modules_prefork();
	if (!fork()) {
		modules_postfork(true);
		modules_refresh();
		_exit(modules_count() > 2 ? 0 : 1);
	}
	modules_postfork(false);
	modules_refresh();
	ck_assert_uint_gt(modules_count(), 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("modules");
	TCase *tc = tcase_create("modules");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, all_of_them);
	tcase_add_test(tc, this_program);
	tcase_add_test(tc, build_id);
	tcase_add_test(tc, comes_and_goes);
	tcase_add_test(tc, forks);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
