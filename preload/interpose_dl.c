/* SPDX-License-Identifier: MIT */
/*
 * interpose_dl: dlopen without RTLD_DEEPBIND; one malloc for whoever asks.
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
 * dlsym(libc, "free"), as Python's ctypes and others ask it, would find libc's
 * free, which knows nothing of what libc's strdup has given. Where the answer
 * for a name of the malloc family lies in libc, it is replaced by ours. All
 * else, and all questions to RTLD_DEFAULT and RTLD_NEXT, are jumped through.
 *
 * The jumps go through dl_real, filled in by dl_init(). A call before that (in
 * an auditor, say) makes it on the way.
 */
#include "preload/interpose.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What comes next: libc, or another library like us. Read by assembly. */
struct dl_real {
	void *(*open)(const char *file, int mode);		/* 0 */
	void *(*mopen)(Lmid_t ns, const char *file, int mode);	/* 8 */
	void *(*sym)(void *handle, const char *name);		/* 16 */
	int (*close)(void *handle);
};
struct dl_real dl_real HIDDEN;

static void *next(const char *name)
{
	return dl_real.sym(RTLD_NEXT, name);
}

void dl_init(void)
{
	void *sym;

	if (dl_real.open)
		return;
	/* dlsym() would lead here. */
	sym = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	dl_real.sym = (void *(*)(void *, const char *))sym;
	dl_real.close = (int (*)(void *))next("dlclose");
	dl_real.mopen =
		(void *(*)(Lmid_t, const char *, int))next("dlmopen");
	dl_real.open = (void *(*)(const char *, int))next("dlopen");
}

/*
 * At entry to a naked function the stack is 8 off a multiple of 16; three
 * pushes make it whole for a call.
 */
#define PUSH(reg) "	pushq	%" #reg "\n	.cfi_adjust_cfa_offset 8\n"
#define POP(reg) "	popq	%" #reg "\n	.cfi_adjust_cfa_offset -8\n"
#define CALL(f)                                                                \
	PUSH(rdi)                                                              \
	PUSH(rsi)                                                              \
	PUSH(rdx) "	call	" #f "\n" POP(rdx) POP(rsi) POP(rdi)
#define READY(offset)                                                          \
	"	cmpq	$0, " #offset "+dl_real(%rip)\n"                       \
	"	jne	1f\n" CALL(dl_init) "1:\n"

_Static_assert(RTLD_DEEPBIND == 8, "the flag that the masks below clear");

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

static const struct {
	const char *name;
	void *ours;
} family[] = {
#define OURS(f) {#f, (void *)f}
	OURS(malloc), OURS(free), OURS(calloc), OURS(realloc),
	OURS(reallocarray), OURS(memalign), OURS(aligned_alloc),
	OURS(posix_memalign), OURS(valloc), OURS(pvalloc),
	OURS(malloc_usable_size), OURS(malloc_trim), OURS(mallopt),
	OURS(mallinfo2), OURS(malloc_stats), OURS(malloc_info),
	{"cfree", (void *)free}, {"__libc_free", (void *)free},
	{"__libc_malloc", (void *)malloc}, {"__libc_calloc", (void *)calloc},
	{"__libc_realloc", (void *)realloc},
	{"__libc_memalign", (void *)memalign},
};

bool dl_in_libc(void *f)
{
	struct dl_find_object a, b;

	return !_dl_find_object(f, &a) &&
		!_dl_find_object((void *)gnu_get_libc_version, &b) &&
		a.dlfo_link_map == b.dlfo_link_map;
}

/* Our answer to dlsym(handle, name); NULL: the question goes on to libc. */
HIDDEN void *dl_answer(void *handle, const char *name);

void *dl_answer(void *handle, const char *name)
{
	for (unsigned i = 0; i < NELEM(family); i++) {
		void *f;

		if (strcmp(family[i].name, name))
			continue;
		f = dl_real.sym(handle, name);
		return f && dl_in_libc(f) ? family[i].ours : NULL;
	}
	return NULL;
}

_Static_assert((long)RTLD_DEFAULT == 0 && (long)RTLD_NEXT == -1, "see below");

API __attribute__((naked)) void *dlsym(void *restrict handle UNUSED,
	const char *restrict name UNUSED)
{
	__asm__(READY(16)
		"	leaq	1(%rdi), %rax\n"
		"	cmpq	$1, %rax\n"
		"	jbe	2f\n"
		CALL(dl_answer)
		"	testq	%rax, %rax\n"
		"	jz	2f\n"
		"	ret\n"
		"2:	jmpq	*16+dl_real(%rip)\n");
}

/* What may be unloaded is written down before, for stacks that lead there. */
API int dlclose(void *handle)
{
	int ret;

	dl_init();
	if (stacktab_count())
		modules_refresh();
	ret = dl_real.close(handle);
	unwind_flush();
	return ret;
}

void *dl_next(const char *name)
{
	dl_init();
	return next(name);
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
