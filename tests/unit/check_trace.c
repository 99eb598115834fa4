/* SPDX-License-Identifier: MIT */
/* The ring, sessions, files and descriptors of traces. */
#include "observe/trace.h"
#include "observe/dumpfile.h"
#include "observe/helper.h"
#include "observe/tracefile.h"
#include "os/tasks.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer has threads of its own. */
#ifdef __SANITIZE_THREAD__
enum { TSAN = 1 };
#else
enum { TSAN = 0 };
#endif

static struct grow g = GROW_INIT(256 * MIB);
static struct fmt out;
static uint32_t token;

static void begin(void)
{
	g.len = 0;
	grow_fmt(&g, &out);
	ck_assert_int_eq(
		trace_start(&trace_format_perfetto, &out, &token), 0);
}

/* The trace as a string. */
static const char *end(void)
{
	ck_assert_int_eq(trace_stop(token, &out), 0);
	fmt_char(&out, '\0');
	ck_assert(grow_fmt_end(&g, &out));
	return g.p;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

START_TEST(off_by_default)
{
	trace_gc_start(0);
	trace_gc_done();
	ck_assert(!trace_on());
	ck_assert_uint_eq(trace_dropped(), 0);
	begin();
	ck_assert(trace_on());
	ck_assert_uint_eq(count(end(), "\"GC\""), 0);
	ck_assert(!trace_on());
}
END_TEST

START_TEST(everything_arrives)
{
	const char *text;

	begin();
	trace_heap_alloc(123456);
	trace_heap_goal(200000);
	trace_gc_start(0);
	trace_stw_start(TRACE_STW_SWEEP_TERMINATION);
	trace_stw_done();
	trace_mark_start(4242);
	trace_assist_start(0);
	trace_assist_done();
	trace_mark_done(4242);
	trace_stw_start(TRACE_STW_MARK_TERMINATION);
	trace_stw_done();
	trace_sweep_start(0);
	trace_sweep_done(8192, 77);
	trace_gc_done();
	trace_block(TRACE_BLOCK_COND, 0);
	trace_unblock();
	trace_thread_start(4343, 0);
	trace_read(token, &out);
	text = end();
	ck_assert_uint_eq(count(text, "\"Allocated\":123456"), 2);
	ck_assert_uint_eq(count(text, "\"NextGC\":76544"), 1);
	ck_assert_uint_eq(count(text, "\"name\":\"GC\""), 1);
	ck_assert_uint_eq(count(text, "STW (sweep termination)"), 1);
	ck_assert_uint_eq(count(text, "STW (mark termination)"), 1);
	ck_assert_uint_eq(count(text, "\"tid\":4242"), 4);
	ck_assert_uint_eq(count(text, "\"name\":\"MARK\""), 1);
	ck_assert_uint_eq(count(text, "MARK ASSIST"), 1);
	ck_assert_uint_eq(count(text, "\"swept bytes\":8192,\"reclaimed "
				      "bytes\":77"), 1);
	ck_assert_uint_eq(count(text, "blocked: condition"), 1);
	ck_assert_uint_eq(count(text, "\"tid\":4343"), 2);
	/* This thread has its real name. */
	ck_assert(TSAN || count(text, "\"check_trace\"") == 1);
}
END_TEST

static void *waiter(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char c;

	ck_assert_int_eq(read(fd, &c, 1), 1);
	return NULL;
}

/* A thread that records nothing is there from its start to its end. */
START_TEST(silent_threads)
{
	unsigned before = tasks_count();
	pthread_t t;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	g.len = 0;
	grow_fmt(&g, &out);
	ck_assert_int_eq(trace_start(&trace_format_go, &out, &token), 0);
	pthread_create(&t, NULL, waiter, (void *)(intptr_t)fd[0]);
	pthread_setname_np(t, "early bird");
	trace_read(token, &out);
	ck_assert_ptr_nonnull(memmem(g.p, out.len, "early bird", 10));
	ck_assert_int_eq(write(fd[1], "", 1), 1);
	pthread_join(t, NULL);
	trace_read(token, &out);
	end();
	pthread_create(&t, NULL, waiter, (void *)(intptr_t)fd[0]);
	begin();
	ck_assert_uint_eq(count(end(), "thread_name"), 2 + tasks_count());
	ck_assert_int_eq(write(fd[1], "", 1), 1);
	pthread_join(t, NULL);
	while (tasks_count() > before) /* the kernel is a little later */
		sched_yield();
	begin();
	ck_assert_uint_eq(count(end(), "thread_name"), 2 + before);
}
END_TEST

START_TEST(one_at_a_time)
{
	uint32_t other = 0;
	struct fmt f;
	char buf[10];

	begin();
	fmt_init(&f, buf, sizeof(buf), -1);
	ck_assert_int_eq(trace_start(&trace_format_go, &f, &other), EBUSY);
	ck_assert_int_eq(trace_stop(token + 1, &out), ESRCH);
	ck_assert_int_eq(trace_stop(0, &out), ESRCH);
	trace_gc_start(0);
	trace_read(token + 1, &f);
	ck_assert_uint_eq(f.len, 0);
	trace_gc_done();
	ck_assert_uint_eq(count(end(), "\"name\":\"GC\""), 1);
	ck_assert_int_eq(trace_stop(token, &out), ESRCH);
	/* A new trace has nothing of the old one. */
	begin();
	ck_assert_uint_eq(count(end(), "\"name\":\"GC\""), 0);
}
END_TEST

/* More events than the ring holds: the oldest are kept, the rest counted. */
START_TEST(slow_reader)
{
	uint64_t n = TRACE_RING + 1000;
	const char *text;

	begin();
	for (uint64_t i = 0; i < n; i++)
		trace_heap_alloc(1000000 + i);
	ck_assert_uint_eq(trace_dropped(), 1000);
	trace_read(token, &out);
	trace_heap_alloc(5);
	text = end();
	ck_assert_uint_eq(trace_dropped(), 1000);
	ck_assert_uint_eq(count(text, "\"Allocated\":1"), TRACE_RING);
	ck_assert_uint_eq(count(text, "\"Allocated\":1000000,"), 1);
	ck_assert_uint_eq(count(text, "\"Allocated\":1016384,"), 0);
	ck_assert_uint_eq(count(text, "\"Allocated\":5,"), 1);
}
END_TEST

enum { WRITERS = 4, EACH = 20000 };

static unsigned running;

static void *writer(void *arg)
{
	for (int i = 0; i < EACH; i++) {
		trace_sweep_start(0);
		trace_sweep_done((uint64_t)(intptr_t)arg, 1);
	}
	sub_relaxed(&running, 1);
	return NULL;
}

static void handler(int sig)
{
	(void)sig;
	trace_heap_alloc(1);
}

/* Threads and a signal handler write while it is read: none is lost unseen. */
START_TEST(many_writers)
{
	pthread_t t[WRITERS];
	const char *text;
	unsigned begun, ended, heap, raised = 0;
	uint64_t dropped = trace_dropped();

	signal(SIGUSR1, handler);
	running = WRITERS;
	begin();
	for (intptr_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, writer, (void *)i);
	while (load_relaxed(&running)) {
		pthread_kill(t[raised % WRITERS], SIGUSR1);
		raised++;
		trace_read(token, &out);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	text = end();
	dropped = trace_dropped() - dropped;
	begun = count(text, "\"name\":\"SWEEP\"");
	ended = count(text, "swept bytes");
	heap = count(text, "\"ph\":\"C\"");
	ck_assert_uint_eq(begun, ended);
	ck_assert_uint_le(heap, raised);
	if (dropped == 0)
		ck_assert_uint_eq(begun, WRITERS * EACH);
	else
		ck_assert_uint_ge(begun + dropped, WRITERS * EACH);
}
END_TEST

START_TEST(no_memory)
{
	sysmem_fail_after = 0;
	grow_fmt(&g, &out);
	ck_assert_int_eq(trace_start(&trace_format_go, &out, &token), ENOMEM);
	sysmem_fail_after = -1;
	ck_assert(!trace_on());
	begin();
	end();
}
END_TEST

static char dir[] = "/tmp/check_trace.XXXXXX";

static void setup_files(void)
{
	dumpfile_init();
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	/* As in fork.c: whoever forks must not catch the helper at work. */
	pthread_atfork(helper_prefork, helper_parent, helper_child);
	pthread_atfork(tracefile_prefork, tracefile_parent, tracefile_child);
}

static void teardown_files(void)
{
	char cmd[100];

	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	ck_assert_int_eq(system(cmd), 0);
	helper_stop();
}

static unsigned files_in_dir(void)
{
	FILE *f = popen("ls -A | wc -l", "r");
	unsigned n = 99;

	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

/* The size of a file, -1 if there is none. */
static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

START_TEST(to_file)
{
	char head[17] = "";
	int fd;

	ck_assert(tracefile_start("t-%p.trace"));
	ck_assert_uint_eq(files_in_dir(), 1); /* temporary */
	ck_assert_int_eq(chdir("/"), 0);
	for (int i = 0; i < 60000; i++) {
		trace_sweep_start(0);
		trace_sweep_done(1, 1);
		if (i % 5000 == 0)
			usleep(120000);
	}
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_uint_eq(files_in_dir(), 1);
	ck_assert(tracefile_stop());
	ck_assert(!trace_on());
	ck_assert_uint_eq(files_in_dir(), 1);
	snprintf(head, sizeof(head), "t-%d.trace", getpid());
	/* At least one ringful. */
	ck_assert_int_gt(size_of(head), 4 * TRACE_RING);
	fd = open(head, O_RDONLY);
	ck_assert_int_eq(read(fd, head, 16), 16);
	ck_assert_mem_eq(head, "go 1.19 trace\0\0\0", 16);
	ck_assert(tracefile_stop()); /* nothing to do */

	ck_assert(tracefile_start("x.json"));
	ck_assert(!tracefile_start("y"));
	trace_gc_start(0);
	ck_assert(tracefile_stop());
	fd = open("x.json", O_RDONLY);
	ck_assert_int_eq(read(fd, head, 16), 16);
	ck_assert_mem_eq(head, "{\"displayTimeUni", 16);
	ck_assert_int_eq(size_of("y"), -1);
}
END_TEST

START_TEST(bad_files)
{
	uint64_t failures = dumpfile_failures();

	ck_assert(!tracefile_start("/nowhere/x"));
	ck_assert_uint_eq(dumpfile_failures(), failures + 1);
	ck_assert(!trace_on());
	/* The folder goes while the trace is taken. */
	mkdir("sub", 0700);
	ck_assert(tracefile_start("sub/x"));
	ck_assert_int_eq(system("rm -r sub"), 0);
	ck_assert(!tracefile_stop());
	ck_assert(!trace_on());
	/* A disk that is full. */
	ck_assert(tracefile_start("/dev/full"));
	ck_assert(!tracefile_stop());
	ck_assert(tracefile_start("fine"));
	ck_assert(tracefile_stop());
	ck_assert_int_gt(size_of("fine"), 16);
}
END_TEST

START_TEST(in_fork)
{
	int status;
	pid_t pid;

	ck_assert(tracefile_start("t.trace"));
	trace_gc_start(0);
	pid = fork();
	if (!pid) {
		ck_assert(!trace_on());
		ck_assert(tracefile_stop());
		/* A trace of its own works. */
		begin();
		trace_gc_start(0);
		ck_assert_uint_eq(count(end(), "\"name\":\"GC\""), 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(trace_on());
	ck_assert_int_eq(size_of("t.trace"), -1);
	ck_assert(tracefile_stop());
	ck_assert_int_gt(size_of("t.trace"), 16);
}
END_TEST

static void *reader(void *arg)
{
	static char buf[1 << 20];
	int fd = (int)(intptr_t)arg;
	size_t n = 0;
	ssize_t r;

	usleep(500000);
	while ((r = read(fd, buf, sizeof(buf))) > 0)
		n += (size_t)r;
	return (void *)n;
}

/* A pipe whose reader sleeps at first blocks nobody but the end. */
START_TEST(to_descriptor)
{
	pthread_t t;
	void *n;
	int fd[2], gone;

	ck_assert_int_eq(tracefile_start_fd(-1), EBADF);
	ck_assert_int_eq(tracefile_start_fd(1000), EBADF);
	ck_assert_int_eq(pipe(fd), 0);
	pthread_create(&t, NULL, reader, (void *)(intptr_t)fd[0]);
	ck_assert_int_eq(tracefile_start_fd(fd[1]), 0);
	ck_assert_int_eq(tracefile_start_fd(fd[1]), EBUSY);
	for (int i = 0; i < 40; i++) {
		for (int k = 0; k < 1000; k++) {
			trace_sweep_start(0);
			trace_sweep_done(1, 1);
		}
		usleep(20000);
	}
	ck_assert(tracefile_stop());
	close(fd[1]);
	pthread_join(t, &n);
	ck_assert_uint_gt((size_t)n, 4 * TRACE_RING);

	/* Closed, and the number used again, behind our back. */
	gone = open("gone", O_CREAT | O_WRONLY, 0600);
	ck_assert_int_eq(tracefile_start_fd(gone), 0);
	ck_assert_int_eq(dup2(open("other", O_CREAT | O_WRONLY, 0600), gone),
		gone);
	trace_gc_start(0);
	ck_assert(!tracefile_stop());
	ck_assert_int_eq(size_of("other"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace");
	TCase *t = tcase_create("ring"), *files = tcase_create("files");
	SRunner *r;
	int failed;

	tcase_add_test(t, off_by_default);
	tcase_add_test(t, everything_arrives);
	if (!TSAN)
		tcase_add_test(t, silent_threads);
	tcase_add_test(t, one_at_a_time);
	tcase_add_test(t, slow_reader);
	tcase_add_test(t, many_writers);
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(files, setup_files, teardown_files);
	tcase_add_test(files, to_file);
	tcase_add_test(files, bad_files);
	tcase_add_test(files, in_fork);
	tcase_add_test(files, to_descriptor);
	suite_add_tcase(s, files);
	tcase_set_timeout(t, 240);
	tcase_set_timeout(files, 240);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
