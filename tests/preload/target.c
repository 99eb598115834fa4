/* SPDX-License-Identifier: MIT */
/*
 * target WORD...: does what the words say, then what end it.
 *	handle, reset, ignore	SIGUSR1: own handler, SIG_DFL, SIG_IGN
 *	sigwait, signalfd	block SIGUSR1, say "ready", wait for it
 *	ready			say "ready"
 *	line			wait for a line (or the end) of stdin
 *	raise			send SIGUSR1 to itself
 *	segv			write where nothing is mapped
 *	alloc			keep three threads allocating until the end
 *	fork			go on in a child, wait for it, exit with its status
 *	group			the same, in a process group of its own (which can be
 *				stopped, whatever the test runs in); say its pid
 *	exec			go on as: cat /proc/self/status
 */
#include <gostat.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int *volatile nowhere = (volatile int *)8;

static void handler(int signo)
{
	(void)signo;
	if (write(STDOUT_FILENO, "handled\n", 8) < 0)
		abort();
}

static void say(const char *s)
{
	printf("%s\n", s);
	fflush(stdout);
}

static sigset_t usr1(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return set;
}

static void wait_for_signal(int with_fd)
{
	struct signalfd_siginfo info;
	sigset_t set = usr1();
	int signo, fd;

	sigprocmask(SIG_BLOCK, &set, NULL);
	say("ready");
	if (!with_fd) {
		sigwait(&set, &signo);
		say(signo == SIGUSR1 ? "waited" : "?");
		return;
	}
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		say(info.ssi_signo == SIGUSR1 ? "read" : "?");
}

static void *allocate(void *arg)
{
	void *p[64] = {0};
	unsigned x = (unsigned)(size_t)arg;

	for (;;) {
		x = x * 1103515245 + 12345;
		free(p[x >> 8 & 63]);
		p[x >> 8 & 63] = malloc(x >> 16 & (x & 64 ? 0xfff : 0xff));
	}
	return NULL;
}

static void go_on_in_child(int own_group)
{
	pid_t pid = fork();
	int status;

	if (own_group)
		setpgid(pid, 0);
	if (pid == 0)
		return;
	if (own_group) {
		printf("%d\n", pid);
		fflush(stdout);
	}
	waitpid(pid, &status, 0);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

static void act(const char *word)
{
	char line[16];

	if (!strcmp(word, "handle"))
		signal(SIGUSR1, handler);
	else if (!strcmp(word, "reset"))
		signal(SIGUSR1, SIG_DFL);
	else if (!strcmp(word, "ignore"))
		signal(SIGUSR1, SIG_IGN);
	else if (!strcmp(word, "sigwait"))
		wait_for_signal(0);
	else if (!strcmp(word, "signalfd"))
		wait_for_signal(1);
	else if (!strcmp(word, "ready"))
		say("ready");
	else if (!strcmp(word, "line")) /* EINTR would be an end of file */
		printf("%s", fgets(line, sizeof(line), stdin) ? line : "eof\n");
	else if (!strcmp(word, "raise"))
		raise(SIGUSR1);
	else if (!strcmp(word, "segv"))
		*nowhere = 1;
	else if (!strcmp(word, "fork"))
		go_on_in_child(0);
	else if (!strcmp(word, "group"))
		go_on_in_child(1);
	else if (!strcmp(word, "exec"))
		execlp("cat", "cat", "/proc/self/status", (char *)NULL);
	else if (!strcmp(word, "alloc"))
		for (size_t i = 0; i < 3; i++) {
			pthread_t thread;

			pthread_create(&thread, NULL, allocate, (void *)i);
		}
	else
		exit(98);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		act(argv[i]);
	return 7;
}
