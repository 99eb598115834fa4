/* SPDX-License-Identifier: MIT */
/*
 * signal: GOSTAT_SIGNAL without the program noticing.
 *
 * Where a signal of ours has its default action, our handler stands in the
 * kernel, and the program is told SIG_DFL. Everything else is the program's: a
 * handler of its own or SIG_IGN goes to the kernel as it is, and wins. When it
 * goes back to SIG_DFL, ours comes back.
 *
 *	program says          kernel has      program is told
 *	SIG_DFL, or nothing   on_signal       SIG_DFL
 *	SIG_IGN               SIG_IGN         SIG_IGN
 *	its handler           its step        its handler
 *
 * (A step jumps to the handler: handler.c. The same for all other signals.)
 * So the kernel's table is the state, there is no second one to keep in step:
 * on the way in SIG_DFL becomes on_signal, libc does what it does, on the way
 * out on_signal becomes SIG_DFL. Only flags and mask of the program's SIG_DFL
 * (which mean nothing, but can be read back) are kept here.
 *
 * Signals that are blocked, waited for or read from a signalfd never reach a
 * handler, and exec resets ours to SIG_DFL: nothing to do for either.
 *
 * USR1, USR2 and the real-time signals exist for such requests and end here.
 * Any other signal (TERM, say, or SEGV) is a reason to dump, not to live on: it
 * takes its default effect afterwards. Under GOSTAT_LEAKCHECK all those are
 * taken whose effect is to end the process: deadly.c looks for leaks first.
 *
 * Raising what it has just set to SIG_DFL is how a program ends itself so that
 * its parent sees the signal; such a signal keeps its meaning. One that was
 * never touched, or comes from outside, is a request.
 *
 * Invariants:
 *   I1  no call here ever shows on_signal or a step to the program;
 *   I2  a signal that was ignored or handled when we came stays so.
 *
 * Locks: none; calls from signal handlers are as good as libc's are.
 * Rejected: chaining to the program's handler (a dump would change what
 * interrupts its calls); signalfd (needs the signal blocked, and a thread).
 */
#include "preload/signal.h"
#include "base/fatal.h"
#include "base/options.h"
#include "base/signame.h"
#include "base/syscall.h"
#include "gc/park.h"
#include "observe/dump.h"
#include "preload/deadly.h"
#include "preload/handler.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

/* One signal of GOSTAT_SIGNAL, or of those that end a process. */
struct taken {
	int signo;
	uint32_t actions; /* 0: it just ends the process */
	bool reset;	       /* the program has set SIG_DFL itself */
	bool told;	       /* that the program has its own handler */
	struct sigaction view; /* the program's SIG_DFL */
	struct sigaction once; /* the program's handler, see on_once() */
};

static struct {
	unsigned n;
	bool less; /* only those with actions */
	struct taken of[_NSIG];
} taken;

/* What we stand in front of: libc, or another library like us. */
static struct {
	int (*sigaction)(
		int signo, const struct sigaction *new, struct sigaction *old);
	sighandler_t (*signal)(int signo, sighandler_t handler);
	sighandler_t (*sysv_signal)(int signo, sighandler_t handler);
	sighandler_t (*sigset)(int signo, sighandler_t handler);
	int (*sigignore)(int signo);
} next;

/* Constructors of other libraries may call before signal_init(). */
static void resolve(void)
{
	if (likely(next.sigaction != NULL))
		return;
	next.signal =
		(sighandler_t(*)(int, sighandler_t))dlsym(RTLD_NEXT, "signal");
	next.sysv_signal = (sighandler_t(*)(int, sighandler_t))dlsym(
		RTLD_NEXT, "__sysv_signal");
	next.sigset =
		(sighandler_t(*)(int, sighandler_t))dlsym(RTLD_NEXT, "sigset");
	next.sigignore = (int (*)(int))dlsym(RTLD_NEXT, "sigignore");
	next.sigaction = (int (*)(int, const struct sigaction *,
		struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
}

static struct taken *find(int signo)
{
	for (unsigned i = 0; i < taken.n; i++)
		if (taken.of[i].signo == signo)
			return taken.less && !taken.of[i].actions
				? NULL : &taken.of[i];
	return NULL;
}

/* Requests, as opposed to events that happen to a process. */
static bool ends_here(int signo)
{
	return signo == SIGUSR1 || signo == SIGUSR2 || signo >= SIGRTMIN;
}

static void on_signal(int signo, siginfo_t *info, void *context);

static sighandler_t ours(void)
{
	return (sighandler_t)(uintptr_t)on_signal;
}

static void install(int signo)
{
	struct sigaction sa = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
	};

	/* The stack that was interrupted holds pointers, see deadly.c. */
	if (leakcheck_on()) {
		sa.sa_flags &= ~SA_ONSTACK;
		sigfillset(&sa.sa_mask);
	}
	next.sigaction(signo, &sa, NULL);
}

/* The default action, from our handler; comes back if it is not the end. */
static void pass_on(int signo, const siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	uint64_t bit = UINT64_C(1) << (signo - 1), old;

	next.sigaction(signo, &dfl, NULL);
	if (deadly_is_fault(signo, info))
		return; /* it happens again, with its own context */
	sys3(SYS_tgkill, sys0(SYS_getpid), sys0(SYS_gettid), signo);
	sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, &old, sizeof(bit));
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	install(signo);
}

static bool sent_to_itself(const siginfo_t *info)
{
	if (info->si_code != SI_USER && info->si_code != SI_TKILL &&
		info->si_code != SI_QUEUE)
		return false;
	return info->si_pid == (pid_t)sys0(SYS_getpid);
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	struct taken *t = find(signo);
	uintptr_t parked = park_interrupt();
	int saved = errno;

	if (t->actions && !(t->reset && sent_to_itself(info))) {
		dump_run(t->actions, (uintptr_t)uc->uc_mcontext.gregs[REG_RSP]);
		if (ends_here(signo))
			goto out;
	}
	if (deadly_end(signo, info))
		pass_on(signo, info);
out:
	errno = saved;
	park_resume(parked);
}

/*
 * For a handler with SA_RESETHAND the kernel would put the default action back
 * and not ours: how Node ends on TERM. So its place is taken by this, which
 * does what the kernel does.
 */
static void on_once(int signo, siginfo_t *info, void *context)
{
	struct taken *t = find(signo);
	const struct sigaction its = t->once;

	park_interrupt();
	install(signo);
	t->reset = true;
	if (its.sa_flags & SA_SIGINFO)
		its.sa_sigaction(signo, info, context);
	else
		its.sa_handler(signo);
}

static bool is_once(const struct taken *t, const struct sigaction *sa)
{
	return t && leakcheck_on() && !taken.less &&
	       sa->sa_flags & (int)SA_RESETHAND &&
	       sa->sa_handler != SIG_DFL && sa->sa_handler != SIG_IGN;
}

/* Once for each signal, and only to a user who has asked for it. */
static void tell(struct taken *t, const char *what)
{
	char name[SIGNAME_MAX];

	if (t->told || !t->actions || !(options->signal.given || options->verbose))
		return;
	t->told = true;
	warn("%s %s, so there are no dumps on it; GOSTAT_SIGNAL can name "
	     "another signal",
		signame(t->signo, name), what);
}

/*
 * After a call that has given libc the handler h for t: if that is ours,
 * remember what else libc has set, and set what we need.
 */
static void settle(struct taken *t, sighandler_t h)
{
	if (h == ours()) {
		next.sigaction(t->signo, NULL, &t->view);
		t->view.sa_handler = SIG_DFL;
		install(t->signo);
		t->reset = true;
	} else {
		tell(t, h == SIG_IGN ? "is ignored by the program"
				     : "has a handler of the program's");
	}
}

/* What the kernel is to have for what the program says, and what it is told. */
static sighandler_t to_kernel(const struct taken *t, sighandler_t h)
{
	return t && h == SIG_DFL ? ours() : handler_wrap(h);
}

static sighandler_t to_program(const struct taken *t, sighandler_t h)
{
	if (t && h == ours())
		return SIG_DFL;
	if (t && h == (sighandler_t)(uintptr_t)on_once)
		return t->once.sa_handler;
	return handler_unwrap(h);
}

API int sigaction(int signo, const struct sigaction *new, struct sigaction *old)
{
	struct taken *t = find(signo);
	struct sigaction in, view, once;
	int ret;

	resolve();
	if (t) {
		view = t->view;
		once = t->once;
	}
	if (new && is_once(t, new)) {
		in = t->once = *new;
		in.sa_sigaction = on_once;
		in.sa_flags &= ~(int)SA_RESETHAND;
		in.sa_flags |= SA_SIGINFO;
	} else if (new) {
		in = *new;
		in.sa_handler = to_kernel(t, in.sa_handler);
	}
	ret = next.sigaction(signo, new ? &in : NULL, old);
	if (ret)
		return ret;
	if (old) {
		if (t && old->sa_handler == ours())
			*old = view;
		else if (t && old->sa_sigaction == on_once)
			*old = once;
		old->sa_handler = to_program(t, old->sa_handler);
	}
	if (t && new)
		settle(t, in.sa_handler);
	return 0;
}

/* The calls that take a handler and return the one before. */
static sighandler_t set_handler(
	sighandler_t (*set)(int, sighandler_t), int signo, sighandler_t handler)
{
	struct taken *t = find(signo);
	sighandler_t old;

	handler = to_kernel(t, handler);
	old = set(signo, handler);
	if (t && old != SIG_ERR && handler != SIG_HOLD)
		settle(t, handler);
	return to_program(t, old);
}

API sighandler_t signal(int signo, sighandler_t handler)
{
	resolve();
	return set_handler(next.signal, signo, handler);
}

/* What libc's does, but for us to know that it is for once. */
static sighandler_t set_once(int signo, sighandler_t handler)
{
	struct sigaction old, new = {
		.sa_handler = handler,
		.sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_INTERRUPT,
	};

	return sigaction(signo, &new, &old) ? SIG_ERR : old.sa_handler;
}

API sighandler_t __sysv_signal(int signo, sighandler_t handler)
{
	resolve();
	if (find(signo) && leakcheck_on() && handler != SIG_ERR)
		return set_once(signo, handler);
	return set_handler(next.sysv_signal, signo, handler);
}

API sighandler_t sigset(int signo, sighandler_t handler)
{
	resolve();
	return set_handler(next.sigset, signo, handler);
}

API int sigignore(int signo)
{
	struct taken *t = find(signo);
	int ret;

	resolve();
	ret = next.sigignore(signo);
	if (t && ret == 0)
		settle(t, SIG_IGN);
	return ret;
}

sighandler_t bsd_signal(int signo, sighandler_t handler);

API SAME_AS(signal)
sighandler_t bsd_signal(int signo, sighandler_t handler);
API SAME_AS(signal)
sighandler_t ssignal(int signo, sighandler_t handler);
int __sigaction(
	int signo, const struct sigaction *new, struct sigaction *old);
API SAME_AS(sigaction)
int __sigaction(
	int signo, const struct sigaction *new, struct sigaction *old);
API SAME_AS(__sysv_signal)
sighandler_t sysv_signal(int signo, sighandler_t handler);

static void take(int signo, uint32_t actions)
{
	struct taken *t = &taken.of[taken.n];
	struct sigaction now;

	if (find(signo))
		return;
	t->signo = signo;
	t->actions = actions;
	taken.n++;
	if (next.sigaction(signo, NULL, &now))
		return;
	if (now.sa_handler == SIG_IGN)
		tell(t, "was ignored when the program started");
	else if (now.sa_handler != SIG_DFL)
		tell(t, "has a handler of the program's");
	else
		install(signo);
}

/* For once is what the kernel does by itself. */
void signal_restricted(void)
{
	for (unsigned i = 0; i < taken.n; i++) {
		const struct taken *t = &taken.of[i];
		struct sigaction now, dfl = {.sa_handler = SIG_DFL};

		if (next.sigaction(t->signo, NULL, &now))
			continue;
		if (now.sa_sigaction == on_once)
			next.sigaction(t->signo, &t->once, NULL);
		else if (now.sa_handler == ours() && !t->actions)
			next.sigaction(t->signo, &dfl, NULL);
	}
	taken.less = true;
}

void signal_unrestricted(void)
{
	taken.less = false;
	for (unsigned i = 0; i < taken.n; i++) {
		struct sigaction now;

		if (!next.sigaction(taken.of[i].signo, NULL, &now) &&
			now.sa_handler == SIG_DFL)
			install(taken.of[i].signo);
	}
}

void signal_init(void)
{
	resolve();
	dump_init();
	for (unsigned i = 0; i < options->signal.n; i++)
		take(options->signal.of[i].signo, options->signal.of[i].actions);
	/* The first process of a namespace dies of none without a handler. */
	if (!leakcheck_on() || sys0(SYS_getpid) == 1)
		return;
	for (int signo = 1; signo < _NSIG; signo++)
		if (deadly_is_one(signo))
			take(signo, 0);
}
