/* SPDX-License-Identifier: MIT */
/*
 * dump: somebody asks for numbers, bytes come out.
 *
 *	signal handler ─┐              ┌ format: own stack, all signals blocked
 *	end of process ─┼▶ dump_run ──▶┤
 *	API ────────────┘   (pending)  └ write: the caller's stack and mask
 *
 * It happens inside a signal handler that may have interrupted anything, malloc
 * included: only counters are read, only buffers of this file are written.
 * There is one set of buffers and so one dump at a time. Whoever comes second
 * leaves its wish in pending; whoever is first looks there before going.
 *
 * The caller's stack may be an 8 KiB signal stack or a coroutine's, of which
 * the kernel's frame has taken half. Formatting therefore runs on a stack of
 * our own. All signals are blocked for that time (0.1 ms, and 8 us more for each
 * thread): a handler with SA_ONSTACK would start again at the top of the signal
 * stack that we have left, over our caller's frame. Writing may take as long as
 * the reader of a pipe likes; it runs on the caller's stack with the caller's
 * mask, needs little of it, and other handlers run meanwhile.
 *
 * Invariants:
 *   I1  page, file and stack belong to the thread that set busy;
 *   I2  pending != 0 implies that somebody is busy, or is about to look;
 *   I3  busy is 0 or the pid of the process that is busy: a copy of memory made
 *       by a raw clone is nobody's dump.
 *
 * SIGPIPE, SIGXFSZ and SIGTTOU are blocked while writing, and the one that our
 * own write has raised is taken back: a full disk or a vanished reader is
 * reported, never the program's death.
 *
 * Rejected: a thread or a pipe to one (nothing may exist unasked); dropping the
 * second wish (the user counts signals and files).
 */
#include "observe/dump.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "base/syscall.h"
#include "observe/dumpfile.h"
#include "observe/emit.h"
#include "observe/memstats.h"
#include "observe/stacks.h"
#include "os/clock.h"
#include "os/tasks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum {
	/* 573 numbers of 20 digits and their names, JSON's being longest. */
	PAGE_MAX = 32 << 10,
	STACK_MAX = 64 << 10,
};

static struct {
	uint32_t pending; /* OR of enum action */
	int busy;
	bool quiet;
	uint64_t number; /* of the last output */
	void (*hooks[DUMP_NACTION])(void);

	/* The one that is busy owns these. */
	uint32_t actions;
	uint64_t first; /* number of the first output of this run */
	uint64_t shown; /* number in the header line */
	uintptr_t sp;	/* where this thread was interrupted */
	size_t len;	/* of page */
	struct gostat_memstats stats;
	struct dumpfile file;
	char page[PAGE_MAX];
	char stack[STACK_MAX] __attribute__((aligned(64)));
} dump;

/* The kernel's signal set, one bit a signal from bit 0. */
typedef uint64_t sigbits;
#define SIGBIT(signo) ((sigbits)1 << ((signo)-1))

static sigbits set_mask(int how, sigbits set)
{
	sigbits old = 0;

	sys4(SYS_rt_sigprocmask, how, &set, &old, sizeof(set));
	return old;
}

static sigbits pending_signals(void)
{
	sigbits set = 0;

	sys2(SYS_rt_sigpending, &set, sizeof(set));
	return set;
}

/* Call fn with the stack pointer at top, a multiple of 16. */
static NOINLINE void on_stack(void (*fn)(void), char *top)
{
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %[top], %%rsp\n\t"
			 "call *%[fn]\n\t"
			 "movq %%rbx, %%rsp"
			 : [fn] "+r"(fn), [top] "+r"(top)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
			 "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			 "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			 "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory",
			 "cc");
}

/* Everything that needs stack; nobody else runs on this thread meanwhile. */
static void format_stats(void)
{
	struct fmt f;

	fmt_init(&f, dump.page, sizeof(dump.page), -1);
	memstats_read(&dump.stats);
	if (options->format == FORMAT_JSON) {
		emit_json(&f, &dump.stats);
		fmt_char(&f, '\n');
	} else if (options->format == FORMAT_PROMETHEUS) {
		struct emit_env env;

		emit_env_read(&env);
		emit_prometheus(&f, &dump.stats, &env, false);
	} else {
		fmt_printf(&f, "gostat: MemStats of %s (pid %d), dump %lu",
			dumpfile_program(), dumpfile_pid(), dump.shown);
		if (!load_relaxed(&dump.quiet)) {
			fmt_str(&f, ", ");
			fmt_utc(&f, clock_unix_ns() / 1000000000);
		}
		fmt_char(&f, '\n');
		emit_text(&f, &dump.stats);
	}
	dump.len = f.len;
}

void dump_aside(void (*fn)(void))
{
	sigbits old;

	if (load_relaxed(&dump.quiet)) {
		fn();
		return;
	}
	old = set_mask(SIG_SETMASK, ~(sigbits)0);
	stacks_moved(dump.sp);
	on_stack(fn, dump.stack + STACK_MAX);
	stacks_moved(0);
	set_mask(SIG_SETMASK, old);
}

static void format_json(void)
{
	struct fmt f;

	fmt_init(&f, dump.page, sizeof(dump.page), -1);
	memstats_read(&dump.stats);
	emit_json(&f, &dump.stats);
	fmt_char(&f, '\n');
	dump.len = f.len;
}

bool dump_memstats(struct grow *g)
{
	void *to;

	dump_aside(format_json);
	to = grow_add(g, dump.len);
	if (to)
		memcpy(to, dump.page, dump.len);
	return to != NULL;
}

bool dump_write(const char *what, const char *template, const char *suffix,
	uint64_t number, const struct grow *g, int error)
{
	struct dumpfile *d = &dump.file;

	if (!dumpfile_open(d, what, template, suffix, number, dump.page,
		    sizeof(dump.page)))
		return false;
	d->f.error = error;
	fmt_mem(&d->f, g->p, g->len);
	return dumpfile_commit(d);
}

const char *dump_path(void)
{
	return dump.file.path;
}

static void stats(void)
{
	struct dumpfile *d = &dump.file;
	const char *suffix = dump_name(ACTION_STATS, &dump.shown);

	dump_aside(format_stats);
	if (!dumpfile_open(d, "dump", options->dump, suffix, dump.shown,
		    dump.page, sizeof(dump.page)))
		return;
	d->f.len = dump.len;
	dumpfile_commit(d);
}

bool dump_with(uint32_t action)
{
	return dump.actions & action;
}

static void serve(uint32_t actions, uintptr_t sp)
{
	static const uint32_t order[DUMP_NACTION] = {DUMP_BRINK, ACTION_GC,
		ACTION_STATS, ACTION_LEAKS, ACTION_HEAP, ACTION_TRACE};

	dump.actions = actions;
	dump.sp = sp;
	dump.first = load_relaxed(&dump.number) + 1;
	for (unsigned i = 0; i < DUMP_NACTION; i++) {
		void (*hook)(void) = dump.hooks[__builtin_ctz(order[i])];

		if (!(actions & order[i]))
			continue;
		if (order[i] == ACTION_STATS)
			stats();
		else if (hook)
			hook();
		else
			warn("action %s: this library was built without it",
				action_name(order[i]));
	}
}

/* Serve with the signals blocked that writing may raise. */
static void serve_guarded(uint32_t actions, uintptr_t sp)
{
	const sigbits ours =
		SIGBIT(SIGPIPE) | SIGBIT(SIGXFSZ) | SIGBIT(SIGTTOU);
	const struct timespec zero = {0};
	sigbits old, before, raised;
	long taken;

	if (load_relaxed(&dump.quiet)) {
		serve(actions, sp);
		return;
	}
	old = set_mask(SIG_BLOCK, ours);
	before = pending_signals();
	serve(actions, sp);
	do {
		raised = pending_signals() & ~before & ours;
		taken = raised ? sys4(SYS_rt_sigtimedwait, &raised, NULL, &zero,
					 sizeof(raised))
			       : 0;
	} while (taken > 0);
	set_mask(SIG_SETMASK, old);
}

/*
 * Busy from now on, unless somebody is. seq_cst, here and where busy ends:
 * "leave a wish, look at busy" and "end busy, look for wishes" must not both
 * miss the other's store.
 */
static bool begin(void)
{
	int me = dumpfile_pid();
	int holder = 0;

	do {
		if (holder == me)
			return false;
	} while (!__atomic_compare_exchange_n(&dump.busy, &holder, me, 0,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return true;
}

static void end(void)
{
	/* seq_cst, as in begin(): wishes are looked at after this. */
	__atomic_store_n(&dump.busy, 0, __ATOMIC_SEQ_CST);
}

void dump_run(uint32_t actions, uintptr_t sp)
{
	int saved = errno;

	if (!sp)
		sp = (uintptr_t)__builtin_frame_address(0);
	/* seq_cst: the wish is there before busy is looked at; see begin(). */
	__atomic_fetch_or(&dump.pending, actions, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&dump.pending, __ATOMIC_SEQ_CST) && begin()) {
		uint32_t set =
			__atomic_exchange_n(&dump.pending, 0, __ATOMIC_SEQ_CST);

		serve_guarded(set, sp);
		end();
	}
	errno = saved;
}

AT_START void dump_hook(uint32_t action, void (*fn)(void))
{
	store_relaxed(&dump.hooks[__builtin_ctz(action)], fn);
}

const char *dump_name(enum action action, uint64_t *number)
{
	static const char *const suffixes[NACTION] = {
		"", ".gc", ".leaks", ".heap", ".trace"};
	const char *template = options->dump;
	bool numbered = false;

	*number = add_relaxed(&dump.number, 1) + 1;
	for (; template && *template; template ++) {
		if (*template != '%')
			continue;
		numbered |= *++template == 'n';
	}
	return numbered || *number == dump.first
		       ? ""
		       : suffixes[__builtin_ctz(action)];
}

AT_START void dump_init(void)
{
	dumpfile_init();
}

void dump_fork_child(void)
{
	dump.pending = 0;
	dump.number = 0;
	dump.busy = 0;
	dumpfile_fork_child();
}

void dump_quiet(void)
{
	dumpfile_quiet();
	tasks_quiet();
	store_relaxed(&dump.quiet, true);
}
