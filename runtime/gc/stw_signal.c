/* SPDX-License-Identifier: MIT */
/*
 * stw_signal: signal 33, and what a thread does when it gets it.
 *
 * Libc keeps 32 and 33 for itself: it takes them out of every mask that a
 * program gives it, and gives no program a handler for them. So 33 arrives
 * where everything that may be blocked is blocked. Libc's own use of it
 * (setuid() in all threads) goes on behind ours: what was in the kernel's table
 * is called for every signal that is not ours.
 *
 *	rt_tgsigqueueinfo(SI_QUEUE, &entry) -> on_stop -> in the allocator?
 *	                                                   |yes       |no
 *	                                       AGAIN, return     registers are in
 *	                                       to it             the frame: rest
 *
 * From a slow path it comes to rest by itself, as it leaves: see permit_stop().
 * A hit path has no such place, and is over in a few nanoseconds: the signal is
 * sent again, and at the third time it may rest there (see stw_stop()).
 *
 * It is queued with a value, not sent with tgkill: libc's handler, which libc
 * may put into the kernel's table at any time (at the first pthread_create),
 * ignores such signals, but would take a tgkill for its own and follow a null
 * pointer. And the value says which entry, so a signal that comes late, or
 * twice, is known as such.
 *
 * While it waits, signals that have a handler are blocked. The others are not:
 * the kernel drops a SIGCHLD that nobody handles at once, but if it is blocked
 * where it is sent to, it wakes up another thread with it, and that one's
 * epoll_wait() ends with EINTR.
 *
 * Invariant: the handler runs with no handler of the program's above it, and
 * changes neither errno nor anything else of the thread's.
 *
 * Rejected: SIGPWR and the like (programs block and use them); the real-time
 * signals that libc hands out (of 16 threads that block all, none answered 34,
 * all answered 33).
 */
#include "gc/stw_ways.h"
#include "base/atomics.h"
#include "gc/park.h"
#include "os/syscall.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum {
	RED_ZONE = 128,
	NSIGS = 64,
	/*
	 * A program that does nothing but allocate is in a hit path every other
	 * time; on a busy machine each try takes it a time slice.
	 */
	HOT_TRIES = 3,
};

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* What rt_sigaction takes; libc has another layout. */
struct ksigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

uint32_t stw_pending, stw_inside;
bool (*stw_handler_hook)(uintptr_t handler);

static struct ksigaction before;

static struct {
	uint64_t mask; /* signals that have a handler */
	bool strange;  /* one of them is none that the hook knows */
} handlers;

/* The bytes by which unwinders and debuggers know a signal frame. */
__attribute__((naked, noinline)) static void restorer(void)
{
	__asm__("	movq	$15, %rax\n" /* rt_sigreturn */
		"	syscall\n");
}

/*
 * Is this a thread descriptor of libc's? It points to itself. Emulators run
 * code with another %fs.
 */
static bool is_tcb(const uintptr_t *tcb)
{
	return tcb && (uintptr_t)tcb % 16 == 0 && tcb[0] == (uintptr_t)tcb &&
		tcb[2] == (uintptr_t)tcb;
}

static uintptr_t own_tcb(void)
{
	uintptr_t self, again;

	__asm__("movq %%fs:0, %0\n\tmovq %%fs:16, %1"
		: "=r"(self), "=r"(again));
	return self == again ? self : 0;
}

bool stw_is_busy(uintptr_t tcb)
{
	if (!is_tcb((const uintptr_t *)tcb))
		return false;
	/* Initial-exec: at the same distance in every thread. */
	return load_relaxed((uint32_t *)(tcb + ((uintptr_t)&stop_deferred -
		(uintptr_t)__builtin_thread_pointer()))) != 0;
}

/* All its registers are in the frame, so nothing below that counts. */
static void note(struct stw_thread *t, const ucontext_t *uc)
{
	const stack_t *alt = &uc->uc_stack;

	t->sp = (uintptr_t)uc;
	t->tcb = own_tcb();
	t->creating = t->tcb && park_self && park_self->creating;
	t->context = uc;
	t->interrupted_sp =
		(uintptr_t)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE;
	t->alt_lo = t->alt_hi = 0;
	if (!alt->ss_size)
		return;
	t->alt_lo = (uintptr_t)alt->ss_sp;
	t->alt_hi = t->alt_lo + alt->ss_size;
}

/* One thread less to wait for. */
static void answer(struct stw_thread *t, enum stw_how how)
{
	uint32_t asked = STW_ASKED;

	/*
	 * release [answer]: the entry is filled in, and all that the thread has
	 * done before; pairs with the acquire in stw.c.
	 */
	if (cas_release(&t->how, &asked, how) &&
		__atomic_sub_fetch(&stw_pending, 1, __ATOMIC_RELEASE) == 0)
		sys3(SYS_futex, &stw_pending, FUTEX_WAKE_PRIVATE, 1);
}

static void rest(struct stw_thread *t, siginfo_t *info, ucontext_t *uc,
	uint32_t word)
{
	/* Else somebody has answered for it, and knows enough. */
	if (load_relaxed(&t->how) == STW_ASKED) {
		stw_frame_wipe(info, uc);
		note(t, uc);
	}
	answer(t, STW_SIGNAL);
	/* acquire [world]: pairs with the release in stw_start(). */
	while (load_acquire(&stw_word) == word)
		sys4(SYS_futex, &stw_word, FUTEX_WAIT_PRIVATE, word, NULL);
}

/* Inside a hit path, and not for the third time? */
static bool is_hot(struct stw_thread *t, const ucontext_t *uc)
{
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	return pc - (uintptr_t)__start_gostat_hot <
		(uintptr_t)(__stop_gostat_hot - __start_gostat_hot) &&
		t->tries++ < HOT_TRIES;
}

static void asked(struct stw_thread *t, siginfo_t *info, ucontext_t *uc)
{
	uint32_t word = load_relaxed(&stw_word);

	if (!(word & STW_STOPPING) || load_relaxed(&t->word) != word ||
		t->tid != (int)sys0(SYS_gettid))
		return; /* too late, or once too often */
	if (stw_is_busy(own_tcb()) || is_hot(t, uc))
		answer(t, STW_AGAIN);
	else
		rest(t, info, uc, word);
}

static void on_stop(int signo, siginfo_t *info, void *context)
{
	if (info->si_code != SI_QUEUE ||
		info->si_pid != (pid_t)sys0(SYS_getpid)) {
		if (before.handler != (void *)SIG_DFL &&
			before.handler != (void *)SIG_IGN)
			before.handler(signo, info, context);
		return;
	}
	add_relaxed(&stw_inside, 1);
	asked(info->si_value.sival_ptr, info, context);
	sub_relaxed(&stw_inside, 1);
}

/* Libc's own two. */
static bool is_libcs(int signo)
{
	return signo == STW_SIGNO || signo == STW_SIGNO - 1;
}

uint64_t stw_signal_survey(void)
{
	uint64_t mask = 0;

	handlers.strange = false;
	for (int signo = 1; signo <= NSIGS; signo++) {
		uint64_t bit = UINT64_C(1) << (signo - 1);
		struct ksigaction now;

		if (sys_failed(sys4(SYS_rt_sigaction, signo, NULL, &now,
			    sizeof(now.mask))) || is_libcs(signo)) {
			mask |= bit;
			continue;
		}
		if (now.handler == (void *)SIG_DFL ||
			now.handler == (void *)SIG_IGN)
			continue;
		mask |= bit;
		if (stw_handler_hook &&
			!stw_handler_hook((uintptr_t)now.handler))
			handlers.strange = true;
	}
	handlers.mask = mask;
	return mask;
}

bool stw_signal_strange(void)
{
	return handlers.strange;
}

int stw_signal_install(void)
{
	struct ksigaction now, ours = {
		.handler = on_stop,
		.flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_RESTORER,
		.restorer = restorer,
		.mask = handlers.mask,
	};
	long r = sys4(SYS_rt_sigaction, STW_SIGNO, NULL, &now,
		sizeof(now.mask));

	stw_frame_init();
	if (sys_failed(r) || (now.handler == on_stop &&
		now.mask == ours.mask))
		return sys_failed(r) ? (int)-r : 0;
	if (now.handler != on_stop)
		before = now;
	signal_fence();
	r = sys4(SYS_rt_sigaction, STW_SIGNO, &ours, NULL, sizeof(ours.mask));
	return sys_failed(r) ? (int)-r : 0;
}

int stw_signal_ask(struct stw_thread *t, uint32_t word)
{
	siginfo_t info;
	long r;

	memset(&info, 0, sizeof(info));
	info.si_signo = STW_SIGNO;
	info.si_code = SI_QUEUE;
	info.si_pid = (pid_t)sys0(SYS_getpid);
	info.si_uid = (uid_t)sys0(SYS_getuid);
	info.si_value.sival_ptr = t;
	store_relaxed(&t->word, word);
	store_relaxed(&t->how, STW_ASKED);
	add_relaxed(&stw_pending, 1);
	r = sys4(SYS_rt_tgsigqueueinfo, info.si_pid, t->tid, STW_SIGNO, &info);
	if (!sys_failed(r))
		return 0;
	store_relaxed(&t->how, r == -ESRCH ? STW_GONE : STW_NEW);
	sub_relaxed(&stw_pending, 1);
	return (int)r;
}
