/* SPDX-License-Identifier: MIT */
/*
 * interpose_dl: dlopen without RTLD_DEEPBIND, and news of what was unloaded.
 *
 * RTLD_DEEPBIND makes a library prefer its own dependencies, libc among them,
 * to what was preloaded: it would free with libc's free what libc's strdup got
 * from our malloc. Clearing the flag gives up the library's wish to prefer its
 * own symbols, of which a process without a preload could not tell either
 * unless two libraries define the same name.
 *
 *	program --> dlopen: clear the flag, jump --> libc's dlopen
 *	                                                  |
 *	program <-----------------------------------------+
 *
 * Libc looks at its return address to learn who calls: the caller's RUNPATH,
 * $ORIGIN and namespace count. So this is a jump, not a call, and written by
 * hand: a compiler may or may not make it one. Nothing of ours can run after
 * dlopen, hence; whoever keeps a list of modules brings it up to date when an
 * address is not in it, and before anything is unloaded.
 *
 * The jumps go through real, filled in by dl_init(). A dlopen before that (in
 * the constructor of a library that came first) calls it on the way.
 */
#include "preload/interpose.h"

#include <dlfcn.h>

/* Libc's own functions. Read by the assembly below. */
struct dl_real {
	void *(*open)(const char *file, int mode);			/* 0 */
	void *(*mopen)(Lmid_t ns, const char *file, int mode);	/* 8 */
	int (*close)(void *handle);				/* 16 */
};
struct dl_real dl_real HIDDEN;

void dl_init(void)
{
	if (dl_real.open)
		return;
	dl_real.close = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");
	dl_real.mopen = (void *(*)(Lmid_t, const char *, int))dlsym(
		RTLD_NEXT, "dlmopen");
	dl_real.open = (void *(*)(const char *, int))dlsym(
		RTLD_NEXT, "dlopen");
}

_Static_assert(RTLD_DEEPBIND == 8, "the flag that the masks below clear");

/*
 * At entry to a naked function the stack is 8 off a multiple of 16; three
 * pushes make it whole for the call.
 */
#define READY(offset)                                                          \
	"	cmpq	$0, " #offset "+dl_real(%rip)\n"                       \
	"	jne	1f\n"                                                  \
	"	pushq	%rdi\n"                                                \
	"	.cfi_adjust_cfa_offset 8\n"                                    \
	"	pushq	%rsi\n"                                                \
	"	.cfi_adjust_cfa_offset 8\n"                                    \
	"	pushq	%rdx\n"                                                \
	"	.cfi_adjust_cfa_offset 8\n"                                    \
	"	call	dl_init\n"                                             \
	"	popq	%rdx\n"                                                \
	"	.cfi_adjust_cfa_offset -8\n"                                   \
	"	popq	%rsi\n"                                                \
	"	.cfi_adjust_cfa_offset -8\n"                                   \
	"	popq	%rdi\n"                                                \
	"	.cfi_adjust_cfa_offset -8\n"                                   \
	"1:\n"

API __attribute__((naked)) void *dlopen(const char *file UNUSED,
	int mode UNUSED)
{
	__asm__(READY(0)
		"	andl	$~8, %esi\n"
		"	jmpq	*0+dl_real(%rip)\n");
}

API __attribute__((naked)) void *dlmopen(Lmid_t ns UNUSED,
	const char *file UNUSED, int mode UNUSED)
{
	__asm__(READY(8)
		"	andl	$~8, %edx\n"
		"	jmpq	*8+dl_real(%rip)\n");
}

API int dlclose(void *handle)
{
	dl_init();
	return dl_real.close(handle);
}

void *dl_borrow(const char *name)
{
	void *lib;

	dl_init();
	lib = dl_real.open(name, RTLD_LAZY | RTLD_NOLOAD);
	if (lib)
		dl_real.close(lib);
	return lib;
}
