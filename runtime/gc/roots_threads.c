/* SPDX-License-Identifier: MIT */
/*
 * roots_threads: what threads hold.
 *
 *	            registers that lie on no stack: words
 *	[ guard | dead | live frames ... | static TLS | descriptor ]
 *	               ^sp               ^            ^%fs
 *	                  ROOT_STACK          ROOT_TLS
 *
 * The descriptor has the argument and the result of the thread, its first 32
 * keys and the way to the others, and to blocks of dynamic TLS.
 *
 * A stack pointer may be elsewhere: on an alternate signal stack, on a
 * coroutine's. Then the thread's own stack is a root from one end to the other
 * (where its frames end is written nowhere), and whatever memory the pointer is
 * in is reached: a heap object, a mapping; and from there up it is a root in
 * any case. Coroutines' stacks on which nobody is are memory like any other,
 * live when something points there.
 *
 * A thread that has ended leaves its stack to libc, who keeps it for the next
 * one. What is still in there is nobody's, but for the table of its dynamic TLS
 * (which libc will free), and its result until somebody joins it. Unless there
 * may be a thread that we don't know: one that is being created has its
 * argument there.
 *
 * Stacks are listed here and become ranges in roots_maps.c, which knows what is
 * mapped.
 */
#include "gc/roots_parts.h"
#include "base/fmt.h"
#include "os/sysmem.h"

enum { FRAME = 64 << 10 }; /* no signal's frame is larger */

/* -------- lists -------- */

static void add_stack(
	struct roots_walk *k, struct root_vec *v, const struct root_stack *s)
{
	struct root_stack *new = rootset_grow(k->rs, v, sizeof(*s));

	if (new)
		*new = *s;
}

static void sift(struct root_stack *s, size_t i, size_t n)
{
	struct root_stack x = s[i];

	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && s[child].lo < s[child + 1].lo)
			child++;
		if (s[child].lo <= x.lo)
			break;
		s[i] = s[child];
	}
	s[i] = x;
}

/* Heapsort: libc's qsort() may allocate. */
static void sort(struct root_vec *v)
{
	struct root_stack *s = v->v, x;

	for (size_t i = v->n / 2; i-- > 0;)
		sift(s, i, v->n);
	for (size_t n = v->n; n > 1;) {
		x = s[0];
		s[0] = s[--n];
		s[n] = x;
		sift(s, 0, n);
	}
}

/* Two threads that claim one stack have shared a descriptor: take the sum. */
static void merge(struct root_vec *v)
{
	struct root_stack *s = v->v;
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		if (n == 0 || s[i].lo >= s[n - 1].hi) {
			s[n++] = s[i];
			continue;
		}
		s[n - 1].from = MIN(s[n - 1].from, s[i].from);
		s[n - 1].hi = MAX(s[n - 1].hi, s[i].hi);
	}
	v->n = n;
}

/* -------- one thread -------- */

struct owner {
	int tid;
	uint32_t name;
	uintptr_t sp[2]; /* where it is, and what that has interrupted */
	uintptr_t tcb;
	uintptr_t alt_lo;
};

static uint32_t name_of(struct rootset *rs, int tid)
{
	char text[32];
	struct fmt f;

	fmt_init(&f, text, sizeof(text), -1);
	fmt_printf(&f, "thread %d", tid);
	return rootset_add_name(rs, text, f.len);
}

static void add_tls(struct roots_walk *k, const struct owner *o)
{
	rootset_add_range(k->rs, o->tcb - roots_libc.static_tls,
		o->tcb + roots_libc.descriptor, ROOT_TLS, o->tid, o->name);
}

/* Not memory of anybody else: what is in there has been added. */
static void cut(
	struct roots_walk *k, const struct owner *o, uintptr_t lo, uintptr_t hi)
{
	struct root_stack s = {lo, hi, hi, o->tid, o->name};

	add_stack(k, &k->stacks, &s);
}

/* Its own stack, if libc knows where it is: all but the first thread's. */
static void add_own_stack(struct roots_walk *k, const struct owner *o)
{
	struct root_stack s = {.tid = o->tid, .name = o->name};
	uintptr_t end;
	bool in = false;

	if (!o->tcb || !roots_stack_block(o->tcb, &s.lo, &end))
		return;
	s.from = s.hi = o->tcb - roots_libc.static_tls;
	for (unsigned i = 0; i < 2; i++)
		if (o->sp[i] >= s.lo && o->sp[i] < end) {
			s.from = MIN(s.from, o->sp[i]);
			in = true;
		}
	if (!in)
		s.from = s.lo;
	add_stack(k, &k->stacks, &s);
	cut(k, o, s.hi, end);
}

static void add_loose(struct roots_walk *k, const struct owner *o, uintptr_t sp)
{
	struct root_stack s = {sp, sp, sp, o->tid, o->name};

	add_stack(k, &k->loose, &s);
	rootset_add_word(k->rs, sp, ROOT_STACK, o->tid, o->name);
}

static bool in_own_stack(const struct owner *o, uintptr_t sp)
{
	uintptr_t lo, hi;

	return o->tcb && roots_stack_block(o->tcb, &lo, &hi) && sp >= lo &&
	       sp < hi;
}

static void add_thread(struct roots_walk *k, struct owner *o)
{
	bool is_main = o->tid == k->rs->pid;

	if (!roots_is_tcb(o->tcb))
		o->tcb = 0;
	if (o->tcb)
		add_tls(k, o);
	if (is_main) {
		k->main_alive = true;
		k->main_sp[0] = o->sp[0];
		k->main_sp[1] = o->sp[1];
		k->main_name = o->name;
		if (o->tcb)
			cut(k, o, o->tcb - roots_libc.static_tls,
				o->tcb + roots_libc.descriptor);
	} else {
		add_own_stack(k, o);
	}
	for (unsigned i = 0; i < 2; i++)
		if (o->sp[i] && (is_main || !in_own_stack(o, o->sp[i])))
			add_loose(k, o, o->sp[i]);
	rootset_add_word(k->rs, o->alt_lo, ROOT_STACK, o->tid, o->name);
}

static void add_regs(struct rootset *rs, const struct owner *o,
	const uintptr_t *regs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rootset_add_word(rs, regs[i], ROOT_REGISTERS, o->tid, o->name);
}

/* -------- all of them -------- */

static void add_self(struct roots_walk *k, const struct stw *w)
{
	struct owner o = {.tid = w->self_tid,
		.sp = {w->self_sp},
		.tcb = w->self_tcb,
		.alt_lo = k->rs->self_alt};

	if (w->self_hidden)
		return;
	o.name = name_of(k->rs, o.tid);
	add_thread(k, &o);
	add_regs(k->rs, &o, w->self_regs, NELEM(w->self_regs));
}

/*
 * Our handler's frame has all registers of what it interrupted. It lies on the
 * same stack, then it ends where the other frames begin, or on the alternate
 * one, and there may be others above.
 */
static void add_frame(
	struct roots_walk *k, struct owner *o, const struct stw_thread *t)
{
	uintptr_t sp = t->sp, end = t->interrupted_sp;

	if (t->how != STW_SIGNAL || !sp || !end)
		return;
	if (end - sp > FRAME && sp - t->alt_lo < t->alt_hi - t->alt_lo) {
		rootset_add_range(
			k->rs, sp, t->alt_hi, ROOT_STACK, o->tid, o->name);
		o->sp[0] = 0;
	} else if (end - sp <= FRAME) {
		rootset_add_range(
			k->rs, sp, end, ROOT_REGISTERS, o->tid, o->name);
		o->sp[0] = 0;
	}
}

static void add_other(struct roots_walk *k, const struct stw_thread *t)
{
	struct owner o = {.tid = t->tid,
		.sp = {t->sp, t->interrupted_sp},
		.tcb = t->tcb,
		.alt_lo = t->alt_lo};

	if (t->how == STW_GONE)
		return;
	o.name = name_of(k->rs, o.tid);
	add_frame(k, &o, t);
	add_thread(k, &o);
	add_regs(k->rs, &o, t->regs, t->nregs);
	if (!o.tcb || t->creating)
		k->more = true;
}

/* -------- those that have ended -------- */

static bool is_live(const struct roots_walk *k, uintptr_t tcb)
{
	const struct root_stack *s = k->stacks.v;
	size_t lo = 0, hi = k->nlive;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (tcb < s[mid].lo)
			hi = mid;
		else if (tcb >= s[mid].hi)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

static void add_ended(uintptr_t tcb, enum roots_ring ring, void *arg)
{
	struct roots_walk *k = arg;
	const uintptr_t *descriptor = (const uintptr_t *)tcb;
	struct owner o = {.tcb = tcb};

	if (is_live(k, tcb))
		return;
	if (k->more && ring != RING_CACHE) {
		add_tls(k, &o);
		add_own_stack(k, &o);
		return;
	}
	rootset_add_word(k->rs, descriptor[1], ROOT_TLS, 0, 0);
	if (ring != RING_CACHE && roots_libc.result)
		rootset_add_word(k->rs, descriptor[roots_libc.result / 8],
			ROOT_TLS, 0, 0);
	if (ring != RING_USER && roots_stack_block(tcb, &o.sp[0], &o.sp[1]))
		cut(k, &o, o.sp[0], o.sp[1]);
}

static void sort_stacks(struct roots_walk *k)
{
	sort(&k->stacks);
	merge(&k->stacks);
}

void roots_threads(struct roots_walk *k, const struct stw *w)
{
	add_self(k, w);
	for (unsigned i = 0; i < w->n; i++)
		add_other(k, stw_thread(w, i));
	k->rs->noregs = w->nblocked;
	k->rs->unstopped = w->nrunning;
	sort_stacks(k);
	k->nlive = k->stacks.n;
	roots_rings(add_ended, k);
	sort_stacks(k);
	sort(&k->loose);
}
