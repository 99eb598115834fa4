/* SPDX-License-Identifier: MIT */
/* Opens the C++ library argv[1] locally; its new must throw bad_alloc. */
#include "check.h"

#include <dlfcn.h>
#include <stdint.h>

int main(int argc, char **argv)
{
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*plugin)(size_t);

	CHECK(lib);
	CHECK(!dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv"));
	plugin = (int (*)(size_t))dlsym(lib, "plugin");
	CHECK(plugin && plugin(100) == 0);
	CHECK(plugin(PTRDIFF_MAX - 4096) == 1);
	return 0;
}
