/* SPDX-License-Identifier: MIT */
/*
 * roots_libc: the few things that one must know of libc's own data.
 *
 *	stack block of a thread, as libc maps it:
 *	[ guard | ..... stack ..... | static TLS | descriptor ]
 *	lo                                       ^%fs          hi
 *
 * Libc tells its debugger library how large a descriptor is and where some of
 * its fields are, and the size of static TLS to its other parts; they are asked
 * by name, once, at the start. Where the block lies is in the descriptor: two
 * words in a row that are its address and its size. Their place differs from
 * version to version, but no other two look like it: an address below the
 * descriptor, and a length that leads to just behind its end.
 *
 * Descriptors are in one of three rings (struct list_head, three in a row, in
 * the loader's data since glibc 2.34):
 *
 *	used     the stack is libc's; running, or ended and not joined
 *	user     the stack is the program's; the first thread, too
 *	cache    ended; kept for the next thread
 *
 * So a stack on which nobody is can be told from other memory. Without the
 * rings (another libc) it is an object like others, and what its last thread
 * has left there looks live.
 */
#include "gc/roots_parts.h"
#include "os/sysmem.h"

#include <dlfcn.h>

enum {
	DESCRIPTOR = 0x900,    /* of glibc 2.31 to 2.36 */
	LEAST = 0x600,	       /* no version has less */
	HEADER = 0x280,	       /* the part of it that has been fixed for ever */
	SURPLUS = 4096,	       /* static TLS, where nobody says how much */
	MIN_STACK = 16384,     /* PTHREAD_STACK_MIN */
	MAX_THREADS = 1 << 22, /* PID_MAX_LIMIT */
};

struct list {
	struct list *next, *prev;
};

/* How libc describes a field of a structure to a debugger. */
struct field {
	uint32_t bits, count, offset;
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

static const struct field *field(const char *name)
{
	const struct field *f = dlsym(RTLD_DEFAULT, name);

	return f && f->bits == 64 && f->offset < 4 * DESCRIPTOR ? f : NULL;
}

static bool is_ring(const struct list *l)
{
	return l->next && l->next->prev == l && l->prev && l->prev->next == l;
}

static void find_rings(void)
{
	const struct field *used =
		dlsym(RTLD_DEFAULT, "_thread_db_rtld_global__dl_stack_used");
	const struct field *node =
		dlsym(RTLD_DEFAULT, "_thread_db_pthread_list");
	const struct field *start = field("_thread_db_pthread_start_routine");
	const char *global = dlsym(RTLD_DEFAULT, "_rtld_global");
	const struct list *ring;

	if (!used || !node || !global || used->offset > (1 << 16))
		return;
	ring = (const void *)(global + used->offset);
	for (unsigned i = 0; i < NRINGS; i++)
		if (!is_ring(&ring[i]))
			return;
	roots_libc.ring = ring;
	roots_libc.node = node->offset;
	/* void *result; two ints; start_routine; arg */
	if (start)
		roots_libc.result = start->offset - 16;
}

void roots_ring(enum roots_ring ring,
	void (*fn)(uintptr_t tcb, enum roots_ring ring, void *arg), void *arg)
{
	const struct list *head = roots_libc.ring, *l;

	if (!head)
		return;
	head += ring;
	l = head->next;
	/* Who adds a descriptor may have been stopped in the middle. */
	for (size_t n = 0; n < MAX_THREADS && l != head; n++, l = l->next) {
		uintptr_t tcb = (uintptr_t)l - roots_libc.node;

		if (!roots_is_tcb(tcb))
			break;
		fn(tcb, ring, arg);
	}
}

void roots_rings(
	void (*fn)(uintptr_t tcb, enum roots_ring ring, void *arg), void *arg)
{
	for (unsigned i = 0; i < NRINGS; i++)
		roots_ring((enum roots_ring)i, fn, arg);
}

AT_START void roots_init(void)
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
	find_rings();
	dlerror(); /* that they are missing is not the program's business */
}
