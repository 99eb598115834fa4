/* SPDX-License-Identifier: MIT */
/*
 * Odd moments in the life of a process at which malloc and free must work, each
 * in a child of its own. Holds under glibc too. Without an argument all, in
 * order; else the one named.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void *volatile sink;

static void churn(unsigned n)
{
	char *p[64] = {0};

	for (unsigned i = 0; i < n; i++) {
		unsigned k = i * 7919 % 64;
		size_t size = i * 31 % 3000;

		free(p[k]);
		p[k] = malloc(size);
		CHECK(p[k]);
		memset(p[k], (int)i, size);
	}
	for (unsigned k = 0; k < 64; k++)
		free(p[k]);
	free(memset(malloc(300000), 1, 300000));
}

static void expect(pid_t pid, int want)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, __WALL) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
		fprintf(stderr, "status %#x\n", (unsigned)status);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == want);
}

/* -- starting others ---------------------------------------------------- */

static char *const argv_true[] = {(char *)"true", NULL};

static void with_vfork(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			/* Not allowed, but done: the parent's heap is used. */
			free(malloc(100));
			execv("/bin/true", argv_true);
			_exit(9);
		}
		expect(pid, 0);
		churn(100);
	}
}

static void with_spawn(void)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		CHECK(!posix_spawn_file_actions_init(&actions));
		CHECK(!posix_spawn_file_actions_addopen(
			&actions, 1, "/dev/null", O_WRONLY, 0));
		CHECK(!posix_spawnp(
			&pid, "true", &actions, NULL, argv_true, environ));
		CHECK(!posix_spawn_file_actions_destroy(&actions));
		expect(pid, 0);
	}
	CHECK(system("exit 3") == 3 << 8);
	FILE *f = popen("echo out", "r");
	char line[10];

	CHECK(f && fgets(line, sizeof(line), f) && !strcmp(line, "out\n"));
	CHECK(pclose(f) == 0);
}

/* A child that libc knows nothing of: no atfork handler has run. */
static void with_raw_fork(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (pid == 0) {
			churn(1000);
			_exit(4);
		}
		expect(pid, 4);
		churn(100);
	}
}

static int raw_child(void *arg)
{
	churn(1000);
	return arg ? 5 : 0;
}

/* With a stack of its own; sharing memory, the parent waits as for vfork. */
static void with_raw_clone(void)
{
	size_t size = 256 << 10;
	char *stack = malloc(size);

	for (int i = 0; i < 10; i++) {
		expect(clone(raw_child, stack + size, SIGCHLD, stack), 5);
		expect(clone(raw_child, stack + size,
			       CLONE_VM | CLONE_VFORK | SIGCHLD, stack),
			5);
	}
	free(stack);
}

/* -- ends --------------------------------------------------------------- */

static void allocate_at_exit(void)
{
	churn(1000);
	free(sink);
}

static pthread_key_t key;

/* Runs in every round that libc grants. */
static void key_gone(void *p)
{
	free(p);
	churn(100);
	p = malloc(100);
	if (pthread_setspecific(key, p))
		free(p);
}

static __thread char *tls_object;

static void *thread(void *arg)
{
	CHECK(!pthread_setspecific(key, malloc(50)));
	tls_object = malloc(10);
	churn(500);
	free(arg);
	free(tls_object);
	return malloc(20);
}

static void with_threads(void)
{
	CHECK(!pthread_key_create(&key, key_gone));
	for (int round = 0; round < 30; round++) {
		pthread_t t[8];
		void *out;

		for (int i = 0; i < 8; i++)
			CHECK(!pthread_create(&t[i], NULL, thread, malloc(30)));
		for (int i = 0; i < 8; i++) {
			CHECK(!pthread_join(t[i], &out));
			free(out);
		}
	}
}

static pthread_t main_thread;

static void *outlives_main(void *arg)
{
	CHECK(!pthread_join(main_thread, NULL));
	churn(10000);
	CHECK(!arg);
	exit(0);
}

static void with_main_gone(void)
{
	pthread_t t;

	CHECK(!pthread_key_create(&key, key_gone));
	atexit(allocate_at_exit);
	main_thread = pthread_self();
	CHECK(!pthread_create(&t, NULL, outlives_main, NULL));
	CHECK(!pthread_setspecific(key, malloc(50)));
	sink = malloc(10);
	pthread_exit(malloc(10));
}

static void with_atexit(void)
{
	sink = malloc(100);
	atexit(allocate_at_exit);
	on_exit((void (*)(int, void *))(void *)churn, NULL);
	exit(0);
}

static void with_quick_exit(void)
{
	sink = malloc(100);
	at_quick_exit(allocate_at_exit);
	quick_exit(0);
}

__attribute__((destructor)) static void at_unload(void)
{
	churn(100);
}

/* -- restrictions ------------------------------------------------------- */

static void with_no_descriptors(void)
{
	closefrom(0);
	churn(10000);
	_exit(0); /* stderr is gone: nothing more can be said */
}

static void with_user_namespace(void)
{
	churn(1000);
	if (unshare(CLONE_NEWUSER))
		CHECK(errno == EPERM || errno == ENOSPC);
	churn(1000);
	CHECK(unshare(CLONE_FILES | CLONE_FS) == 0);
	churn(1000);
}

static void with_small_stack(void)
{
	pthread_attr_t attr;
	pthread_t t;

	CHECK(!pthread_key_create(&key, key_gone));
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(&attr, 16384));
	for (int i = 0; i < 10; i++) {
		CHECK(!pthread_create(&t, &attr, thread, malloc(30)));
		void *out;

		CHECK(!pthread_join(t, &out));
		free(out);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} lives[] = {
	{"vfork", with_vfork},
	{"spawn", with_spawn},
	{"raw_fork", with_raw_fork},
	{"raw_clone", with_raw_clone},
	{"threads", with_threads},
	{"main_gone", with_main_gone},
	{"atexit", with_atexit},
	{"quick_exit", with_quick_exit},
	{"no_descriptors", with_no_descriptors},
	{"user_namespace", with_user_namespace},
	{"small_stack", with_small_stack},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(lives) / sizeof(*lives); i++) {
		pid_t pid;

		if (argc > 1 && strcmp(argv[1], lives[i].name))
			continue;
		pid = fork();
		if (pid == 0) {
			alarm(300); /* hangs are failures */
			lives[i].run();
			exit(0);
		}
		fprintf(stderr, "%s\n", lives[i].name);
		expect(pid, 0);
	}
	return 0;
}
