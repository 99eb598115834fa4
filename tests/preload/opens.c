/* SPDX-License-Identifier: MIT */
/*
 * dlopen as seen by the program. Libraries are built by opens.sh:
 *
 *	outer/libouter.so	RUNPATH $ORIGIN/../inner: opens libinner.so
 *	inner/libinner.so	strdup and free, to be opened with DEEPBIND
 */
#include "check.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

static void *function(void *lib, const char *name)
{
	void *f = lib ? dlsym(lib, name) : NULL;

	if (!f)
		fprintf(stderr, "%s: %s\n", name, dlerror());
	CHECK(f);
	return f;
}

/* Only the caller's RUNPATH leads to libinner.so. */
static void check_caller(const char *outer)
{
	void *lib = dlopen(outer, RTLD_NOW), *inner;
	void *(*open_inner)(void);

	open_inner = (void *(*)(void))function(lib, "open_inner");
	inner = open_inner();
	if (!inner)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(inner);
	CHECK(!dlopen("libinner_absent.so", RTLD_NOW));
	CHECK(strstr(dlerror(), "libinner_absent.so"));
	CHECK(!dlerror());
	CHECK(dlclose(inner) == 0);
	CHECK(dlclose(lib) == 0);
	CHECK(!dlopen(outer, RTLD_NOW | RTLD_NOLOAD));
	dlerror();
}

/* libc's strdup gave it, the library's own idea of free gets it. */
static void check_deepbind(const char *inner)
{
	void *lib = dlopen(inner, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	char *(*copy)(const char *) =
		(char *(*)(const char *))function(lib, "inner_copy");
	void (*release)(char *) =
		(void (*)(char *))function(lib, "inner_release");

	for (int i = 0; i < 1000; i++) {
		release(strdup("from the program"));
		free(copy("from the library"));
		release(copy("inside"));
	}
	CHECK(dlclose(lib) == 0);
}

static void check_namespace(const char *inner)
{
	void *lib = dlmopen(LM_ID_NEWLM, inner, RTLD_NOW | RTLD_DEEPBIND);
	Lmid_t id;
	char *(*copy)(const char *);
	void (*release)(char *);

	copy = (char *(*)(const char *))function(lib, "inner_copy");
	release = (void (*)(char *))function(lib, "inner_release");
	CHECK(dlinfo(lib, RTLD_DI_LMID, &id) == 0 && id != LM_ID_BASE);
	for (int i = 0; i < 1000; i++)
		release(copy("a world of its own"));
	CHECK(dlclose(lib) == 0);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	for (int i = 0; i < 200; i++) {
		check_caller(argv[1]);
		check_deepbind(argv[2]);
	}
	check_namespace(argv[2]);
	CHECK(dlclose(dlopen(NULL, RTLD_NOW)) == 0);
	CHECK(dlopen("libm.so.6", RTLD_LAZY | RTLD_DEEPBIND));
	return 0;
}
