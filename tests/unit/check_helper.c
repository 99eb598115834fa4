/* SPDX-License-Identifier: MIT */
/* The helper thread: queue, timers, descriptors, fork, and being invisible. */
#include "observe/helper.h"
#include "base/atomics.h"
#include "os/clock.h"
#include "os/ownfd.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer has threads of its own, and none after a fork. */
#ifdef __SANITIZE_THREAD__
enum { TSAN = 1 };
#else
enum { TSAN = 0 };
#endif

static sem_t done;
static int order[100], norder;

static void setup(void)
{
	sem_init(&done, 0, 0);
	norder = 0;
}

static void teardown(void)
{
	helper_stop();
	ck_assert_int_eq(helper_tid(), 0);
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
}

static void note(void *arg)
{
	order[norder++] = (int)(intptr_t)arg;
	ck_assert_int_eq((int)syscall(SYS_gettid), helper_tid());
}

static void finish(void *arg)
{
	(void)arg;
	sem_post(&done);
}

static struct helper_work last = {.fn = finish};

/* Everything posted before has run when this returns. */
static void sync_helper(void)
{
	helper_post(&last);
	sem_wait(&done);
}

START_TEST(in_order_once)
{
	static struct helper_work w[50];

	for (int i = 0; i < 50; i++) {
		w[i] = (struct helper_work){.fn = note,
			.arg = (void *)(intptr_t)i};
		helper_post(&w[i]);
		helper_post(&w[i / 2]);
	}
	ck_assert_int_eq(norder, 0);
	ck_assert(helper_start());
	ck_assert(helper_start());
	sync_helper();
	ck_assert_int_eq(norder, 50);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(order[i], i);
	/* And again, now that it runs. */
	helper_post(&w[7]);
	sync_helper();
	ck_assert_int_eq(norder, 51);
}
END_TEST

static struct helper_work again;
static int rounds;

static void post_again(void *arg)
{
	if (++rounds < 1000)
		helper_post(arg);
	else
		sem_post(&done);
}

START_TEST(posts_itself)
{
	again = (struct helper_work){.fn = post_again, .arg = &again};
	ck_assert(helper_start());
	helper_post(&again);
	sem_wait(&done);
	ck_assert_int_eq(rounds, 1000);
}
END_TEST

static unsigned counted;

static void count(void *arg)
{
	(void)arg;
	add_relaxed(&counted, 1);
}

static void *poster(void *arg)
{
	static struct helper_work w[4][10000];
	struct helper_work *mine = w[(intptr_t)arg];

	for (int i = 0; i < 10000; i++) {
		mine[i].fn = count;
		helper_post(&mine[i]);
	}
	return NULL;
}

START_TEST(many_posters)
{
	pthread_t t[4];

	ck_assert(helper_start());
	for (intptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, poster, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	sync_helper();
	ck_assert_uint_eq(counted, 40000);
}
END_TEST

static struct helper_timer timers[5];

START_TEST(timers_in_order)
{
	static const int delay[] = {30, 10, 20, 5, 40};
	int64_t now = clock_mono_ns();

	for (int i = 0; i < 5; i++) {
		timers[i].fn = i == 4 ? finish : note;
		timers[i].arg = (void *)(intptr_t)i;
		helper_timer_set(&timers[i], now + delay[i] * 1000000);
	}
	helper_timer_cancel(&timers[3]);
	/* The first becomes the last but one; setting twice counts once. */
	helper_timer_set(&timers[1], now + 35000000);
	ck_assert(helper_start());
	sem_wait(&done);
	ck_assert_int_ge(clock_mono_ns() - now, 40000000);
	ck_assert_int_eq(norder, 3);
	ck_assert_int_eq(order[0], 2);
	ck_assert_int_eq(order[1], 0);
	ck_assert_int_eq(order[2], 1);
}
END_TEST

/* The process as the program and the kernel see it. */
static void task_file(const char *file, char *buf, size_t cap)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", helper_tid(),
		file);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	buf[fread(buf, 1, cap - 1, f)] = '\0';
	fclose(f);
}

START_TEST(unseen)
{
	char buf[4096], *blocked;
	sigset_t before, after;
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	errno = 77;
	memset(&after, 0, sizeof(after));
	before = after;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert(helper_start());
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_int_eq(errno, 77);
	sync_helper();
	ck_assert(TSAN || tasks_count() == 1);
	task_file("comm", buf, sizeof(buf));
	ck_assert_str_eq(buf, "gostat\n");
	task_file("status", buf, sizeof(buf));
	blocked = strstr(buf, "SigBlk:\t");
	/* All that can be blocked, but not 32 and 33. */
	ck_assert(!strncmp(blocked + 8, "fffffffe7ffbfeff\n", 17));
	/* No descriptor without sockets, and none of the low ones ever. */
	ck_assert_int_eq(open("/dev/null", O_RDONLY), fd);
	ck_assert_int_eq(open("/dev/null", O_RDONLY), fd + 1);
}
END_TEST

static void handler(int sig)
{
	static struct helper_work w = {.fn = count};

	(void)sig;
	helper_post(&w);
}

START_TEST(from_signal_handler)
{
	ck_assert(helper_start());
	signal(SIGUSR1, handler);
	for (unsigned i = 1; i <= 100; i++) {
		raise(SIGUSR1);
		sync_helper();
		ck_assert_uint_eq(counted, i);
	}
}
END_TEST

/* libc tells every thread of a setuid() with signal 33. */
START_TEST(credentials_change)
{
	ck_assert(helper_start());
	sync_helper();
	ck_assert_int_eq(setresuid(-1, (uid_t)-1, -1), 0);
	if (getuid() == 0) {
		char buf[4096], *uid;

		ck_assert_int_eq(setuid(65534), 0);
		sync_helper();
		task_file("status", buf, sizeof(buf));
		uid = strstr(buf, "Uid:\t");
		ck_assert(!strncmp(uid + 5, "65534\t65534\t65534\t65534\n",
			24));
	}
}
END_TEST

static struct ownfd watched[2];
static unsigned readable;

static unsigned fill(struct pollfd *p, unsigned max, int64_t *deadline)
{
	(void)deadline;
	ck_assert_uint_ge(max, 65);
	p[0] = (struct pollfd){.fd = watched[0].fd, .events = POLLIN};
	return 1;
}

static void ready(const struct pollfd *p, unsigned n)
{
	char c;

	if (!n || !(p[0].revents & POLLIN))
		return;
	if (ownfd_valid(&watched[0]) && read(p[0].fd, &c, 1) == 1) {
		readable++;
		sem_post(&done);
	}
}

static const struct helper_poller poller = {fill, ready};

static void watch(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	watched[0] = ownfd_adopt(fd[0]);
	watched[1] = ownfd_adopt(fd[1]);
	ck_assert_int_ge(watched[0].fd, 512);
	ck_assert_int_eq(fcntl(watched[0].fd, F_GETFD), FD_CLOEXEC);
	helper_set_poller(&poller);
}

static void unwatch(void)
{
	helper_set_poller(NULL);
	sync_helper();
	ownfd_close(&watched[0]);
	ownfd_close(&watched[1]);
}

START_TEST(polls)
{
	int low = dup(0);

	close(low);
	watch();
	ck_assert(helper_start());
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(write(watched[1].fd, "x", 1), 1);
		sem_wait(&done);
		sync_helper();
	}
	ck_assert_uint_eq(readable, 100);
	ck_assert_int_eq(dup(0), low);
	unwatch();
}
END_TEST

/*
 * The program closes everything it can find and opens files of its own, which
 * get our numbers. They must be left alone, and work must still be done.
 */
START_TEST(all_descriptors_closed)
{
	int fd[2], n = 0;
	char c;

	watch();
	ck_assert(helper_start());
	sync_helper();
	ck_assert_int_eq(pipe(fd), 0);
	for (int i = 500; i < 600; i++)
		close(i);
	for (int i = 500; i < 600; i++)
		n += dup2(fd[i & 1], i) == i;
	ck_assert_int_eq(n, 100);
	for (int i = 0; i < 100; i++)
		sync_helper();
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(read(fd[0], &c, 1), -1); /* nothing was written */
	for (int i = 500; i < 600; i++)
		ck_assert_int_ge(fcntl(i, F_GETFD), 0); /* nor closed */
	unwatch();
}
END_TEST

static void prepare(void)
{
	helper_prefork();
	helper_fds_lock();
}

static void parent(void)
{
	helper_fds_unlock();
	helper_parent();
}

START_TEST(forked)
{
	int status, tid;
	pid_t pid;

	pthread_atfork(prepare, parent, helper_child);
	watch();
	ck_assert(helper_start());
	sync_helper();
	tid = helper_tid();
	helper_timer_set(&timers[0], clock_mono_ns() + 3600000000000);
	pid = fork();
	if (!pid) {
		/* No thread, no socket, no stack; then one of its own. */
		ck_assert_int_eq(helper_tid(), 0);
		ck_assert_uint_eq(tasks_count(), 1);
		ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
		helper_post(&last);
		ck_assert(helper_start());
		sem_wait(&done);
		ck_assert_int_ne(helper_tid(), tid);
		helper_stop();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(helper_tid(), tid);
	sync_helper();
	helper_timer_cancel(&timers[0]);

	/* A fork that libc does not know of is noticed all the same. */
	pid = (pid_t)syscall(SYS_fork);
	if (!pid) {
		ck_assert(helper_start());
		sync_helper();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	unwatch();
}
END_TEST

/* Forks in a storm of work: no item may get stuck in the child. */
START_TEST(fork_storm)
{
	pthread_t t;
	int status;

	pthread_atfork(prepare, parent, helper_child);
	ck_assert(helper_start());
	pthread_create(&t, NULL, poster, NULL);
	for (int i = 0; i < 100; i++) {
		pid_t pid;

		helper_post(&last);
		pid = fork();
		if (!pid) {
			sem_init(&done, 0, 0);
			ck_assert(helper_start());
			sync_helper();
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		sem_wait(&done);
	}
	pthread_join(t, NULL);
}
END_TEST

START_TEST(stop_keeps_work)
{
	static struct helper_work w = {.fn = count};

	ck_assert(helper_start());
	helper_stop();
	helper_stop();
	helper_post(&w);
	ck_assert_uint_eq(counted, 0);
	ck_assert_int_eq(unshare(0), 0);
	ck_assert(helper_start());
	sync_helper();
	ck_assert_uint_eq(counted, 1);
}
END_TEST

START_TEST(refused)
{
	struct rlimit r = {300, 300};

	/* Memory for the stack. */
	sysmem_fail_after = 0;
	ck_assert(!helper_start());
	sysmem_fail_after = -1;
	/* Numbers up to 299 only: ours goes where there is room. */
	setrlimit(RLIMIT_NOFILE, &r);
	watched[0] = ownfd_adopt(dup(0));
	ck_assert_int_eq(watched[0].fd, 225);
	ownfd_close(&watched[0]);
	ck_assert_int_lt(fcntl(225, F_GETFD), 0);
	ck_assert_int_eq(ownfd_adopt(-EMFILE).fd, -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("helper");
	TCase *t = tcase_create("helper");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, in_order_once);
	tcase_add_test(t, posts_itself);
	tcase_add_test(t, many_posters);
	tcase_add_test(t, timers_in_order);
	tcase_add_test(t, unseen);
	tcase_add_test(t, from_signal_handler);
	tcase_add_test(t, credentials_change);
	tcase_add_test(t, polls);
	tcase_add_test(t, all_descriptors_closed);
	if (!TSAN) {
		tcase_add_test(t, forked);
		tcase_add_test(t, fork_storm);
	}
	tcase_add_test(t, stop_keeps_work);
	tcase_add_test(t, refused);
	tcase_set_timeout(t, 240);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
