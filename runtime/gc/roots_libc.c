/* SPDX-License-Identifier: MIT */
/*
 * roots_libc: the few things that one must know of libc's own data.
 *
 *	stack block of a thread, as libc maps it:
 *	[ guard | ..... stack ..... | static TLS | descriptor ]
 *	lo                                       ^%fs          hi
 *
 * Libc tells its debugger library how large a descriptor is, and the size of
 * static TLS to its other parts; both are asked by name, once, at the start.
 * Where the block lies is in the descriptor: two words in a row that are its
 * address and its size. Their place differs from version to version, but no
 * other two look like it: a page's address below the descriptor, and a length
 * that leads to just behind its end.
 */
#include "gc/roots_parts.h"
#include "os/sysmem.h"

#include <dlfcn.h>

enum {
	DESCRIPTOR = 0x900, /* of glibc 2.31 to 2.36 */
	LEAST = 0x600,	    /* no version has less */
	HEADER = 0x280,	    /* the part of it that has been fixed for ever */
	SURPLUS = 4096,	    /* static TLS, where nobody says how much */
	MIN_STACK = 16384,  /* PTHREAD_STACK_MIN */
};

struct roots_libc roots_libc = {
	.descriptor = DESCRIPTOR, .static_tls = SURPLUS};

bool roots_is_tcb(uintptr_t tcb)
{
	const uintptr_t *p = (const uintptr_t *)tcb;

	return tcb >= OS_PAGE && tcb % 16 == 0 && tcb >> 47 == 0 &&
	       p[0] == tcb && p[2] == tcb;
}

bool roots_stack_block(uintptr_t tcb, uintptr_t *lo, uintptr_t *hi)
{
	uintptr_t end = tcb + roots_libc.descriptor;

	for (uintptr_t at = tcb + HEADER; at + 16 <= end; at += 8) {
		const uintptr_t *w = (const uintptr_t *)at;

		if (w[0] < OS_PAGE || w[0] % 16 || w[0] >= tcb ||
			w[1] < MIN_STACK / 2 || w[1] > (uintptr_t)1 << 46 ||
			w[0] + w[1] < tcb + LEAST ||
			w[0] + w[1] > end + OS_PAGE)
			continue;
		*lo = w[0];
		*hi = w[0] + w[1];
		return true;
	}
	return false;
}

void roots_init(void)
{
	const uint32_t *size = dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread");
	void (*info)(size_t *, size_t *) = (void (*)(size_t *, size_t *))dlsym(
		RTLD_DEFAULT, "_dl_get_tls_static_info");
	size_t all = 0, align = 0;

	if (size && *size >= LEAST && *size < 4 * DESCRIPTOR)
		roots_libc.descriptor = *size;
	if (info)
		info(&all, &align);
	if (all > roots_libc.descriptor)
		roots_libc.static_tls = all - roots_libc.descriptor;
	dlerror(); /* that they are missing is not the program's business */
	roots_note_loader();
}
