/* SPDX-License-Identifier: MIT */
/*
 * Trees of control groups as Debian, Kubernetes, Docker and LXC make them, laid
 * out below a folder of our own.
 */
#include "os/cgroup.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct cgroup c;

static void make_root(void)
{
	strcpy(root, "/tmp/check_cgroup.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
	char command[100];

	sprintf(command, "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

/* A file below root, its folders too. */
static void put(const char *name, const char *format, ...)
{
	char path[2048];
	va_list ap;
	FILE *f;

	sprintf(path, "%s%s", root, name);
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	fclose(f);
}

static const char proc_cgroup[] = "/proc/self/cgroup";
static const char proc_mounts[] = "/proc/self/mountinfo";

static const char v2_mount[] =
	"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
	"rw,nsdelegate,memory_recursiveprot\n";

static const char v1_mounts[] =
	"31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup "
	"rw,cpu,cpuacct\n"
	"35 23 0:31 / /sys/fs/cgroup/memory rw shared:13 - cgroup cgroup "
	"rw,memory\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

/* The tightest limit may be anybody's above us. */
START_TEST(test_v2)
{
	struct cgroup_memory m;

	put(proc_cgroup, "0::/user.slice/app.scope\n");
	put(proc_mounts, "%s", v2_mount);
	ck_assert(cgroup_find(&c, root));
	ck_assert_int_eq(c.version, 2);
	/* No files at all, then limits that are none. */
	ck_assert_uint_eq(cgroup_limit(&c), UINT64_MAX);
	put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
	put("/sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n");
	ck_assert_uint_eq(cgroup_limit(&c), UINT64_MAX);
	ck_assert(!cgroup_nearest(&c, 0, &m));

	put("/sys/fs/cgroup/user.slice/memory.max", "1000000\n");
	put("/sys/fs/cgroup/user.slice/app.scope/memory.max", "700000\n");
	ck_assert_uint_eq(cgroup_limit(&c), 700000);
	put("/sys/fs/cgroup/user.slice/app.scope/memory.max", "2000000\n");
	ck_assert_uint_eq(cgroup_limit(&c), 1000000);

	put("/sys/fs/cgroup/user.slice/memory.current", "100000\n");
	put("/sys/fs/cgroup/user.slice/app.scope/memory.current", "90000\n");
	ck_assert(cgroup_nearest(&c, 0, &m));
	ck_assert_uint_eq(m.limit, 1000000);
	ck_assert_uint_eq(m.used, 100000);
	/* A large limit, but nearer. */
	put("/sys/fs/cgroup/user.slice/app.scope/memory.current", "1950000\n");
	ck_assert(cgroup_nearest(&c, 10000, &m));
	ck_assert_uint_eq(m.limit, 2000000);
	ck_assert_uint_eq(m.used, 1960000);
	/* What the kernel can drop does not count. */
	put("/sys/fs/cgroup/user.slice/app.scope/memory.stat",
		"anon 100\nfile 1900000\ninactive_anon 50\nactive_anon 60\n"
		"inactive_file 1000000\nactive_file 900000\n");
	ck_assert(cgroup_nearest(&c, 0, &m));
	ck_assert_uint_eq(m.limit, 1000000);
	put("/sys/fs/cgroup/user.slice/memory.current", "20000\n");
	ck_assert(cgroup_nearest(&c, 0, &m));
	ck_assert_uint_eq(m.limit, 2000000);
	ck_assert_uint_eq(m.used, 50000);
	/* A limit of nothing is one. */
	put("/sys/fs/cgroup/user.slice/memory.max", "0\n");
	ck_assert_uint_eq(cgroup_limit(&c), 0);
	ck_assert(cgroup_nearest(&c, 0, &m));
	ck_assert_uint_eq(m.limit, 0);
}
END_TEST

/* The mount point itself has limits in a container with its own namespace. */
START_TEST(test_container)
{
	put(proc_cgroup, "0::/\n");
	put(proc_mounts, "%s", v2_mount);
	put("/sys/fs/cgroup/memory.max", "536870912\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 536870912);

	/* Somebody outside of the namespace. */
	put(proc_cgroup, "0::/../../other\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 536870912);
	put(proc_cgroup, "0::/..");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 536870912);
}
END_TEST

/* Docker on version 1: the machine's path, the container's mount. */
START_TEST(test_v1)
{
	struct cgroup_memory m;

	put(proc_cgroup,
		"12:cpu,cpuacct:/docker/4f\n5:memory:/docker/4f\n"
		"1:name=systemd:/docker/4f\n0::/system.slice/docker\n");
	put(proc_mounts, "%s", v1_mounts);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"9223372036854771712\n");
	put("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
		"9223372036854771712\n");
	put("/sys/fs/cgroup/memory/docker/4f/memory.limit_in_bytes",
		"104857600\n");
	put("/sys/fs/cgroup/memory/docker/4f/memory.usage_in_bytes",
		"104000000\n");
	put("/sys/fs/cgroup/memory/docker/4f/memory.stat",
		"cache 1\nactive_file 77\ninactive_file 88\n"
		"total_cache 1\ntotal_inactive_file 1000\n"
		"total_active_file 2000\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_int_eq(c.version, 1);
	ck_assert_uint_eq(cgroup_limit(&c), 104857600);
	ck_assert(cgroup_nearest(&c, 0, &m));
	ck_assert_uint_eq(m.used, 104000000 - 3000);

	put(proc_mounts,
		"35 23 0:31 /docker/4f /sys/fs/cgroup/memory ro - cgroup "
		"cgroup rw,memory\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 4096);
	/* A prefix of the name only. */
	put(proc_cgroup, "5:memory:/docker/4f77\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 4096);
}
END_TEST

START_TEST(test_odd_names)
{
	static char deep[1400];

	/* Blanks in mount points, colons in groups. */
	put(proc_cgroup, "0::/a b:c\n");
	put(proc_mounts,
		"30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
	put("/my groups/a b:c/memory.max", "1\n");
	ck_assert(cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), 1);

	/* Too long to be looked at. */
	memset(deep, 'x', sizeof(deep) - 1);
	put(proc_cgroup, "0::/%s\n", deep);
	ck_assert(!cgroup_find(&c, root));
	ck_assert_uint_eq(cgroup_limit(&c), UINT64_MAX);
}
END_TEST

START_TEST(test_none)
{
	static const char *const bad[] = {"", "\n", "0\n", "0:\n", "::", "0::",
		"3:cpu:/x\n", "3:memory:/x\n"};
	struct cgroup_memory m;

	ck_assert(!cgroup_find(&c, root));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put(proc_cgroup, "%s", bad[i]);
		put(proc_mounts, "x\n30 23 0:26 - \n - \n30 - cgroup2\n");
		cgroup_find(&c, root);
		ck_assert_uint_eq(cgroup_limit(&c), UINT64_MAX);
		ck_assert(!cgroup_nearest(&c, 0, &m));
	}
}
END_TEST

/* Texts with a few wrong bytes: anything may be found, nothing read beyond. */
START_TEST(test_noise)
{
	static const char group[] = "5:memory:/docker/4f\n0::/a\n";
	static char text[sizeof(v1_mounts)], path[sizeof(group)];
	struct cgroup_memory m;
	uint64_t seed = 1;

	for (int i = 0; i < 500; i++) {
		strcpy(text, v1_mounts);
		strcpy(path, group);
		for (int k = 0; k < 4; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[(seed >> 33) % (sizeof(text) - 1)] =
				"\n :/-\\,x"[seed >> 61];
			path[(seed >> 20) % (sizeof(path) - 1)] =
				"\n :/-\\,x"[seed >> 58 & 7];
		}
		put(proc_mounts, "%s", text);
		put(proc_cgroup, "%s", path);
		cgroup_find(&c, root);
		ck_assert_uint_lt(strlen(c.dir), sizeof(c.dir));
		ck_assert_uint_eq(cgroup_limit(&c), UINT64_MAX);
		ck_assert(!cgroup_nearest(&c, 0, &m));
	}
}
END_TEST

/* Whatever this machine has. */
START_TEST(test_real)
{
	struct cgroup_memory m;

	if (cgroup_find(&c, "")) {
		uint64_t limit = cgroup_limit(&c);

		ck_assert(cgroup_nearest(&c, 0, &m) == (limit != UINT64_MAX));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cgroup");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, make_root, remove_root);
	tcase_add_test(t, test_v2);
	tcase_add_test(t, test_container);
	tcase_add_test(t, test_v1);
	tcase_add_test(t, test_odd_names);
	tcase_add_test(t, test_none);
	tcase_add_test(t, test_noise);
	tcase_add_test(t, test_real);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
