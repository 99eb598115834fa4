/* SPDX-License-Identifier: MIT */
/*
 * A program with the server inside, for test_httpd.py and test_socket.py:
 *
 *	httpd_app TEMPLATE
 *
 * Prints "PATH" or "none" once it serves (or not), then obeys commands on
 * stdin, one a line, and answers each with one line:
 *
 *	fork       fork; the child says "child PID PATH" and waits to be killed
 *	spawn      run this program again and wait for its end; its status
 *	closeall   close every descriptor above 2, as daemons do
 *	pipes      after that: 700 pipes; "ok" if none of them was touched later
 *	check      are the pipes still empty and open?
 *	lowest     the number that the next open() gets
 *	fds        how many descriptors are open
 *	mem        bytes of OtherSys
 *	setuid N   drop root
 *	chroot DIR
 *	limit N    RLIMIT_NOFILE
 *	events     a thread that records trace events from now on
 *	large      from now on heap profiles have 200000 buckets
 *	stop       stop serving
 *	start      serve again
 *	exit       end like a program that calls httpd_exit()
 */
#include "observe/helper.h"
#include "observe/httpd.h"
#include "observe/routes.h"
#include "observe/tracefile.h"
#include "observe/trace.h"
#include "os/clock.h"
#include "os/sysmem.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPES = 700 };

static const char *template;
static int pipes[PIPES][2];
static size_t frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	static const uintptr_t all[] = {0x1001, 0x2002, 0x3003};

	memcpy(pc, all, MIN(stack, max) * sizeof(*pc));
	return stack;
}

static int64_t taken; /* grows with each snapshot, so differences show */
static bool large;

/* Many distinct buckets, so that the answer is larger than socket buffers. */
static int large_heap(struct pprof_snapshot *s)
{
	for (uint64_t i = 0; i < 200000; i++) {
		struct pprof_bucket *b = grow_add(&s->mem, sizeof(*b));

		*b = (struct pprof_bucket){.id = i, .stack = 3,
			.size = i, .allocs = 1, .alloc_bytes = (int64_t)i};
	}
	s->n = 200000;
	return 0;
}

/* A bucket that grows by one block each time, and one that never changes. */
static int heap(struct pprof_snapshot *s)
{
	struct pprof_bucket *b;

	s->time_ns = clock_unix_ns();
	if (__atomic_load_n(&large, __ATOMIC_RELAXED))
		return large_heap(s);
	b = grow_add(&s->mem, 2 * sizeof(*b));
	taken++;
	b[0] = (struct pprof_bucket){.id = 1, .stack = 3, .size = 64, .allocs = taken, .alloc_bytes = 64 * taken,
		.inuse = taken, .inuse_bytes = 64 * taken};
	b[1] = (struct pprof_bucket){.id = 2, .stack = 2, .size = 32, .allocs = 5, .alloc_bytes = 160, .inuse = 1,
		.inuse_bytes = 32};
	s->n = 2;
	return 0;
}

static uint64_t rate = 1;

static uint64_t profile_rate(void)
{
	return rate;
}

static uint64_t set_profile_rate(uint64_t new)
{
	uint64_t old = rate;

	rate = new;
	return old;
}

static int gogc = 100;

static int set_gogc(int percent)
{
	int old = gogc;

	gogc = percent;
	return old;
}

static int cycles, asked;

static uint64_t gc_start(void)
{
	asked = 0;
	return 42;
}

static bool gc_done(uint64_t ticket)
{
	if (ticket != 42 || ++asked < 5)
		return false;
	cycles++;
	return true;
}

static void metrics(struct metrics *m)
{
	m->cycles[METRICS_FORCED][METRICS_COMPLETED] = (uint64_t)cycles;
}

/* Something to trace: a cycle every millisecond. */
static void *events(void *arg)
{
	for (uint64_t i = 0;; i++) {
		trace_heap_alloc(1000000 + i);
		trace_gc_start(0);
		trace_stw_start(TRACE_STW_SWEEP_TERMINATION);
		trace_stw_done();
		trace_gc_done();
		trace_block(TRACE_BLOCK_COND, 0);
		usleep(1000);
		trace_unblock();
	}
	return arg;
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -1;

	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int lowest(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static void make_pipes(void)
{
	for (int i = 0; i < PIPES; i++)
		if (pipe2(pipes[i], O_NONBLOCK)) {
			perror("pipe");
			exit(1);
		}
}

static bool pipes_untouched(void)
{
	char c;

	for (int i = 0; i < PIPES; i++)
		if (write(pipes[i][1], "x", 1) != 1 ||
			read(pipes[i][0], &c, 1) != 1 || c != 'x' ||
			read(pipes[i][0], &c, 1) != -1)
			return false;
	return true;
}

static void say_path(void)
{
	const char *path = httpd_path();

	printf("%s\n", path ? path : "none");
}

static void prepare(void)
{
	tracefile_prefork();
	helper_prefork();
	helper_fds_lock();
}

static void parent(void)
{
	helper_fds_unlock();
	helper_parent();
	tracefile_parent();
}

static void child(void)
{
	helper_child();
	tracefile_child();
}

static void do_fork(void)
{
	pid_t pid = fork();

	if (pid)
		return;
	if (httpd_child())
		httpd_start(httpd_template());
	printf("child %d %s\n", (int)getpid(),
		httpd_path() ? httpd_path() : "none");
	for (;;)
		pause();
}

/* Another program with the same environment, as a shell starts them. */
static void spawn(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		close(0);
		open("/dev/null", O_RDONLY);
		dup2(2, 1);
		execl("/proc/self/exe", "httpd_app", template, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	printf("%d\n", status);
}

static void obey(const char *command, const char *arg)
{
	struct rlimit r = {(rlim_t)atoi(arg), (rlim_t)atoi(arg)};
	pthread_t thread;

	if (!strcmp(command, "fork")) {
		do_fork();
		return;
	} else if (!strcmp(command, "spawn")) {
		spawn();
	} else if (!strcmp(command, "closeall")) {
		for (int i = 3; i < 20000; i++)
			close(i);
		printf("ok\n");
	} else if (!strcmp(command, "pipes")) {
		make_pipes();
		printf("ok\n");
	} else if (!strcmp(command, "check")) {
		printf(pipes_untouched() ? "ok\n" : "touched\n");
	} else if (!strcmp(command, "lowest")) {
		printf("%d\n", lowest());
	} else if (!strcmp(command, "fds")) {
		printf("%d\n", count_fds());
	} else if (!strcmp(command, "mem")) {
		printf("%lu\n", sysmem_sys(SYS_OTHER));
	} else if (!strcmp(command, "setuid")) {
		printf("%d\n", setuid((uid_t)atoi(arg)));
	} else if (!strcmp(command, "chroot")) {
		printf("%d\n", chroot(arg) || chdir("/"));
	} else if (!strcmp(command, "limit")) {
		printf("%d\n", setrlimit(RLIMIT_NOFILE, &r));
	} else if (!strcmp(command, "large")) {
		__atomic_store_n(&large, true, __ATOMIC_RELAXED);
		printf("ok\n");
	} else if (!strcmp(command, "events")) {
		pthread_create(&thread, NULL, events, NULL);
		printf("ok\n");
	} else if (!strcmp(command, "stop")) {
		httpd_stop();
		printf("ok\n");
	} else if (!strcmp(command, "start")) {
		httpd_start(template);
		say_path();
	} else if (!strcmp(command, "exit")) {
		httpd_exit();
		exit(0);
	} else {
		printf("what is %s?\n", command);
	}
}

int main(int argc, char **argv)
{
	char line[5000], command[20], arg[4096];

	if (argc != 2)
		return 2;
	template = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	sources = (struct sources){.heap = heap, .frames = frames,
		.profile_rate = profile_rate,
		.set_profile_rate = set_profile_rate, .set_gogc = set_gogc,
		.gc_start = gc_start, .gc_done = gc_done, .metrics = metrics};
	pthread_atfork(prepare, parent, child);
	httpd_init(environ);
	httpd_start(template);
	say_path();
	while (fgets(line, sizeof(line), stdin)) {
		arg[0] = '\0';
		if (sscanf(line, "%19s %4095s", command, arg) >= 1)
			obey(command, arg);
	}
	return 0;
}
