/* SPDX-License-Identifier: MIT */
/*
 * Prints what a program sees of its signal dispositions through every call
 * that shows them. With and without the library the output must be the same.
 */
#define _XOPEN_SOURCE_EXTENDED 1
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The old ways are what is looked at here. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

sighandler_t bsd_signal(int signo, sighandler_t handler);

static volatile int calls;

static void h1(int signo)
{
	calls += signo;
}

static void h2(int signo, siginfo_t *info, void *context)
{
	(void)context;
	calls += signo * 1000 + (info->si_signo == signo);
}

static const char *name(sighandler_t h)
{
	if (h == SIG_DFL)
		return "DFL";
	if (h == SIG_IGN)
		return "IGN";
	if (h == SIG_ERR)
		return "ERR";
	if (h == SIG_HOLD)
		return "HOLD";
	if (h == h1)
		return "h1";
	if (h == (sighandler_t)(void *)h2)
		return "h2";
	return "?";
}

static void show(const char *what, const struct sigaction *sa)
{
	printf("%s: %s %x%s", what, name(sa->sa_handler), sa->sa_flags,
		sa->sa_restorer ? " restorer" : "");
	for (int s = 1; s <= 64; s++)
		if (sigismember(&sa->sa_mask, s) == 1)
			printf(" %d", s);
	printf("\n");
}

static void query(int signo)
{
	struct sigaction old;

	memset(&old, 0x5a, sizeof(old));
	if (sigaction(signo, NULL, &old))
		printf("now: errno %d\n", errno);
	else
		show("now", &old);
}

static void set(int signo, sighandler_t h, int flags, int masked)
{
	struct sigaction sa = {.sa_handler = h, .sa_flags = flags}, old;
	struct sigaction *volatile same = &sa;

	sigemptyset(&sa.sa_mask);
	if (masked) {
		sigaddset(&sa.sa_mask, masked);
		sigaddset(&sa.sa_mask, SIGKILL);
	}
	if (sigaction(signo, &sa, &old))
		printf("sigaction %s: errno %d\n", name(h), errno);
	else
		show("sigaction", &old);
	query(signo);
	/* In and out through one struct. */
	if (!sigaction(signo, &sa, same))
		show("again", &sa);
}

static void run(int signo)
{
	static const sighandler_t handlers[] = {SIG_DFL, h1, SIG_IGN};

	printf("signal %d\n", signo);
	query(signo);
	for (int i = 0; i < 27; i++) {
		sighandler_t a = handlers[i % 3], b = handlers[i / 3 % 3];

		printf("-- %s %s\n", name(a), name(b));
		set(signo, a, i & 1 ? SA_RESTART | SA_NODEFER : 0,
			i & 2 ? SIGHUP : 0);
		printf("signal %s\n", name(signal(signo, b)));
		query(signo);
		printf("sysv %s\n", name(sysv_signal(signo, a)));
		query(signo);
		printf("bsd %s\n", name(bsd_signal(signo, b)));
		printf("ssignal %s\n", name(ssignal(signo, a)));
		query(signo);
		siginterrupt(signo, i & 1);
		printf("signal %s\n", name(signal(signo, b)));
		printf("sigset %s\n", name(sigset(signo, a)));
		query(signo);
		printf("hold %s\n", name(sigset(signo, SIG_HOLD)));
		printf("hold %s\n", name(sigset(signo, SIG_HOLD)));
		printf("sigset %s\n", name(sigset(signo, b)));
		query(signo);
		if (i % 4 == 3)
			printf("ignore %d\n", sigignore(signo));
		query(signo);
	}
	set(signo, (sighandler_t)(void *)h2, SA_SIGINFO | SA_RESETHAND, 0);
	calls = 0;
	raise(signo);
	printf("calls %d\n", calls);
	query(signo);
	set(signo, h1, 0, 0);
	calls = 0;
	raise(signo);
	printf("calls %d\n", calls);
	printf("signal %s\n", name(signal(signo, SIG_DFL)));
	query(signo);
}

int main(void)
{
	run(SIGUSR1);
	run(SIGTERM);
	run(SIGUSR2);
	run(SIGRTMIN + 3);
	set(SIGKILL, h1, 0, 0);
	set(0, SIG_DFL, 0, 0);
	set(65, SIG_DFL, 0, 0);
	set(33, SIG_DFL, 0, 0);
	printf("signal %s errno %d\n", name(signal(SIGKILL, h1)), errno);
	printf("signal %s\n", name(signal(SIGUSR1, SIG_ERR)));
	query(SIGUSR1);
	return 0;
}
