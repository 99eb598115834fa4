/* SPDX-License-Identifier: MIT */
/*
 * A process that has leaked 4242 bytes, or nothing, and ends in the way that is
 * asked for.
 *
 *	leaks leak|clean WAY
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int leaks;
static void *volatile kept;
static int *volatile nowhere;

__attribute__((noinline)) static void leak(void)
{
	char *volatile p = leaks ? malloc(4242) : NULL;

	if (p)
		p[1] = 1;
	p = NULL;
}

/* Over the frames of leak() and malloc(). */
__attribute__((noinline)) static void wipe(void)
{
	char volatile waste[4096];

	for (size_t i = 0; i < sizeof(waste); i++)
		waste[i] = 0;
}

/* As a compiler does: an address in the middle of an instruction. */
static void keep_in_code(void)
{
	static char *volatile code;
	void *p = malloc(777);

	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code != MAP_FAILED)
		memcpy(code + 4096 - 11, &p, sizeof(p));
	p = NULL;
}

struct node {
	struct node *next;
	char name[56];
};

static __attribute__((noinline)) struct node *list(int n)
{
	struct node *head = NULL;

	while (n--) {
		struct node *e = malloc(sizeof(*e));

		e->next = head;
		head = e;
	}
	return head;
}

static void *end_last(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	printf("last\n");
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	while (!arg)
		pause();
	return NULL;
}

static void *churn(void *arg)
{
	while (!arg)
		for (size_t n = 16; n < 4000000; n *= 2)
			free(malloc(n));
	return arg;
}

static void *exit_here(void *arg)
{
	exit(4);
	return arg;
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, arg))
		abort();
}

static int collect(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		abort();
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status)
					       : -WTERMSIG(status));
	return 4;
}

/* Its parent's leak is not the child's. */
static int in_child(int way)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return collect(pid);
	if (way == 'l')
		leak();
	wipe();
	if (way == 'e')
		exit(5);
	_exit(5);
}

/* Nothing is looked at in the child, which runs in our memory. */
static int with_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(9);
	}
	return collect(pid);
}

static int failed_exec(void)
{
	char *argv[] = {(char *)"nothing", NULL};

	if (execvp("/nowhere/nothing", argv) != -1 || errno != ENOENT)
		return 1;
	if (execlp("no-such-program-at-all", "x", (char *)NULL) != -1 ||
		errno != ENOENT)
		return 2;
	if (execv("/", argv) != -1 || errno != EACCES)
		return 3;
	return 4;
}

/* Nobody could tell before. */
static int exec_of_no_program(void)
{
	char *argv[] = {(char *)"bad", NULL};

	return execv("./bad", argv) == -1 && errno == ENOEXEC ? 4 : 1;
}

static void become(const char *way)
{
	char *argv[] = {(char *)"sh", (char *)"-c",
		(char *)"echo new $V; exit 6", NULL};
	char *envp[] = {(char *)"V=given", NULL};

	setenv("V", "inherited", 1);
	if (!strcmp(way, "execv"))
		execv("/bin/sh", argv);
	else if (!strcmp(way, "execve"))
		execve("/bin/sh", argv, envp);
	else if (!strcmp(way, "execvp"))
		execvp("sh", argv);
	else if (!strcmp(way, "execvpe"))
		execvpe("sh", argv, envp);
	else if (!strcmp(way, "execl"))
		execl("/bin/sh", argv[0], argv[1], argv[2], (char *)NULL);
	else if (!strcmp(way, "execlp"))
		execlp("sh", argv[0], argv[1], argv[2], (char *)NULL);
	else if (!strcmp(way, "execle"))
		execle("/bin/sh", argv[0], argv[1], argv[2], (char *)NULL,
			envp);
	else if (!strcmp(way, "fexecve"))
		fexecve(open("/bin/sh", O_RDONLY), argv, envp);
	else if (!strcmp(way, "execveat"))
		execveat(AT_FDCWD, "/bin/sh", argv, envp, 0);
	else if (!strcmp(way, "sysexec"))
		syscall(SYS_execve, "/bin/sh", argv, envp);
	exit(1);
}

/* As Node does: the handler raises what it has handled, with SA_RESETHAND. */
static void on_last(int signo)
{
	raise(signo);
}

static int end_in_handler(void)
{
	struct sigaction sa, old;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_last;
	sa.sa_flags = (int)SA_RESETHAND;
	if (sigaction(SIGTERM, &sa, NULL) || sigaction(SIGTERM, NULL, &old) ||
		old.sa_handler != on_last ||
		!(old.sa_flags & (int)SA_RESETHAND) ||
		old.sa_flags & SA_SIGINFO)
		return 1;
	raise(SIGTERM);
	return 1;
}

static int end_by_signal(const char *way)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	if (!strcmp(way, "segv"))
		*nowhere = 1;
	if (!strcmp(way, "abort"))
		abort();
	if (!strcmp(way, "raise"))
		raise(SIGTERM);
	if (!strcmp(way, "pipe")) {
		int p[2];

		if (pipe(p) == 0 && close(p[0]) == 0)
			return (int)write(p[1], "x", 1);
	}
	if (!strcmp(way, "alarm")) {
		alarm(1);
		pause();
	}
	if (!strcmp(way, "handler"))
		return end_in_handler();
	if (!strcmp(way, "killed")) { /* busy in the allocator */
		if (fork() == 0) {
			usleep(200000);
			kill(getppid(), SIGINT);
			_exit(0);
		}
		churn(NULL);
	}
	if (!strcmp(way, "reset")) { /* told SIG_DFL, set again, still checked */
		struct sigaction sa, old;

		if (sigaction(SIGTERM, NULL, &old) ||
			old.sa_handler != SIG_DFL)
			return 1;
		memset(&sa, 0, sizeof(sa));
		sa.sa_handler = SIG_IGN;
		sigaction(SIGTERM, &sa, NULL);
		raise(SIGTERM);
		sigaction(SIGTERM, &old, NULL);
		raise(SIGTERM);
	}
	return 1;
}

int main(int argc, char **argv)
{
	const char *way = argc > 2 ? argv[2] : "return";
	static pthread_t main_thread;

	leaks = argc > 1 && !strcmp(argv[1], "leak");
	kept = malloc(100);
	printf("out\n");
	leak();
	wipe();
	if (!strcmp(way, "return"))
		return 4;
	if (!strcmp(way, "lists")) { /* nothing wipes what is left of them */
		list(100);
		list(100);
		list(100);
		return 4;
	}
	if (!strcmp(way, "code")) {
		keep_in_code();
		wipe();
		return 4;
	}
	if (!strcmp(way, "exit"))
		exit(4);
	if (!strcmp(way, "thread")) {
		start(exit_here, NULL);
		wait_for_ever(NULL);
	}
	if (!strcmp(way, "threads")) { /* others are at work */
		start(churn, NULL);
		start(wait_for_ever, NULL);
		return 4;
	}
	if (!strcmp(way, "last")) {
		main_thread = pthread_self();
		start(end_last, &main_thread);
		pthread_exit(NULL);
	}
	if (!strcmp(way, "fork"))
		return in_child('e');
	if (!strcmp(way, "fork_exit"))
		return in_child('_');
	if (!strcmp(way, "fork_leak"))
		return in_child('l');
	if (!strcmp(way, "vfork"))
		return with_vfork();
	if (!strcmp(way, "noexec"))
		return failed_exec();
	if (!strcmp(way, "badexec"))
		return exec_of_no_program();
	fflush(stdout);
	if (!strcmp(way, "_exit"))
		_exit(4);
	if (!strcmp(way, "_Exit"))
		_Exit(4);
	if (!strcmp(way, "quick_exit"))
		quick_exit(4);
	if (!strcmp(way, "syscall"))
		syscall(SYS_exit_group, 4);
	if (strstr(way, "exec"))
		become(way);
	return end_by_signal(way);
}
