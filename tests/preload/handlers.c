/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers as the program set them: more of them than the library has
 * room for, set by system call, called with the kernel's arguments, with no
 * frame of the library's below them, and in the middle of cycles.
 */
#include "check.h"
#include <gostat.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { MANY = 700, CODE = 16 };

sighandler_t bsd_signal(int signo, sighandler_t handler);

static volatile int calls;
static volatile bool over;

static void *collects(void *arg)
{
	while (!over) {
		if (gostat_gc)
			gostat_gc();
		usleep(1000);
	}
	return arg;
}

/* incl (calls); ret: one function each, all at different addresses. */
static char *make_code(void)
{
	unsigned char *code = mmap(NULL, MANY * CODE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uint64_t)(uintptr_t)&calls;

	CHECK(code != MAP_FAILED);
	for (int i = 0; i < MANY; i++) {
		unsigned char *p = code + i * CODE;

		memcpy(p, "\x48\xb8", 2); /* movabs $at, %rax */
		memcpy(p + 2, &at, 8);
		memcpy(p + 10, "\xff\x00\xc3", 3); /* incl (%rax); ret */
	}
	CHECK(mprotect(code, MANY * CODE, PROT_READ | PROT_EXEC) == 0);
	return (char *)code;
}

static void many(void)
{
	char *code = make_code();
	sighandler_t before = signal(SIGUSR1, SIG_IGN);

	CHECK(before == SIG_DFL);
	before = SIG_IGN;
	for (int i = 0; i < MANY; i++) {
		sighandler_t h = (sighandler_t)(void *)(code + i * CODE);
		struct sigaction sa = {.sa_handler = h}, old;

		if (i % 2) {
			CHECK(signal(SIGUSR1, h) == before);
		} else {
			CHECK(sigaction(SIGUSR1, &sa, &old) == 0);
			CHECK(old.sa_handler == before);
		}
		calls = 0;
		CHECK(raise(SIGUSR1) == 0);
		CHECK(calls == 1);
		before = h;
	}
	CHECK(bsd_signal(SIGUSR1, SIG_DFL) == before);
}

static uintptr_t value;

static void looks(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	void *frames[64];
	int n = backtrace(frames, 64);
	Dl_info dl;

	CHECK(signo == SIGUSR2 && info->si_signo == SIGUSR2);
	CHECK(info->si_pid == getpid());
	value = (uintptr_t)info->si_value.sival_ptr;
	CHECK(uc->uc_mcontext.gregs[REG_RIP] != 0);
	CHECK(n > 2);
	for (int i = 0; i < 2; i++) /* this one, and the kernel's */
		CHECK(!dladdr(frames[i], &dl) ||
			!strstr(dl.dli_fname, "libgostat"));
	calls++;
}

static void arguments(void)
{
	struct sigaction sa = {.sa_sigaction = looks, .sa_flags = SA_SIGINFO};
	struct sigaction old;
	void *load[1];

	backtrace(load, 1); /* loads the unwinder */
	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
	calls = 0;
	for (uintptr_t i = 1; i < 100; i++) {
		union sigval v = {.sival_ptr = (void *)i};

		CHECK(pthread_sigqueue(pthread_self(), SIGUSR2, v) == 0);
		CHECK(value == i);
		CHECK(calls == (int)i);
	}
	CHECK(sigaction(SIGUSR2, NULL, &old) == 0);
	CHECK(old.sa_sigaction == looks && old.sa_flags & SA_SIGINFO);
	/* Once more, as it was read. */
	CHECK(sigaction(SIGUSR2, &old, NULL) == 0);
	CHECK(sigaction(SIGUSR2, NULL, &old) == 0);
	CHECK(old.sa_sigaction == looks);
}

/* Past libc: the kernel's own structure. */
struct raw {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

static void counts(int signo)
{
	(void)signo;
	calls++;
}

static void by_number(void)
{
	struct raw raw;
	struct sigaction sa = {.sa_handler = SIG_IGN}, old;

	/* With the restorer that libc has put there. */
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	sa.sa_handler = counts;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &raw, 8) == 0);
	calls = 0;
	raw.handler(SIGUSR1); /* whatever it is: it is the handler */
	CHECK(calls == 1);
	raw.handler = counts;
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, &raw, NULL, 8) == 0);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(old.sa_handler == counts);
	for (int i = 0; i < 50; i++) {
		CHECK(raise(SIGUSR1) == 0);
		usleep(500);
	}
	CHECK(calls == 51);
	CHECK(signal(SIGUSR1, SIG_DFL) == counts);
}

/* A child of vfork may set its own; they are its own. */
static void in_vfork(void)
{
	struct sigaction sa = {.sa_handler = counts}, old;
	int status;
	pid_t pid;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int i = 0; i < 20; i++) {
		pid = vfork();
		if (pid == 0) {
			sa.sa_handler = i % 2 ? SIG_IGN : SIG_DFL;
			if (sigaction(SIGUSR1, &sa, &old) ||
				old.sa_handler != counts)
				_exit(1);
			_exit(0);
		}
		while (waitpid(pid, &status, 0) < 0)
			;
		CHECK(status == 0);
		CHECK(sigaction(SIGUSR1, NULL, &old) == 0);
		CHECK(old.sa_handler == counts);
	}
}

int main(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, collects, NULL) == 0);
	many();
	arguments();
	by_number();
	in_vfork();
	over = true;
	pthread_join(t, NULL);
	return 0;
}
