/* SPDX-License-Identifier: MIT */
/* Threads that are cancelled in the middle of a call, and children. */
#include "park.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Cancelled in the middle of it; the handlers run, the thread ends. */
static void tidy(void *arg)
{
	work();
	++*(int *)arg;
}

/* Nothing ever comes here. */
static int never[2];
static sem_t nobody_posts;


static void wait_by(int way)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	sigset_t winch;
	char c;

	switch (way) {
	case 0:
		read(never[0], &c, 1);
		break;
	case 1:
		poll(NULL, 0, -1);
		break;
	case 2:
		pause();
		break;
	case 3:
		sem_wait(&nobody_posts);
		break;
	case 4:
		pthread_mutex_lock(&m);
		pthread_cond_wait(&cond, &m);
		break;
	case 5:
		recv(never[0], &c, 1, 0);
		break;
	case 6:
		sleep(1000);
		break;
	case 7:
		sigemptyset(&winch);
		sigaddset(&winch, SIGWINCH);
		sigwaitinfo(&winch, NULL);
		break;
	case 8:
		accept(never[0], NULL, NULL);
		select(0, NULL, NULL, NULL, NULL);
		break;
	case 9:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
		pause();
		break;
	}
}

struct victim {
	int way, tidied;
};

static void *dies(void *arg)
{
	struct victim *v = arg;

	pthread_cleanup_push(tidy, &v->tidied);
	wait_by(v->way);
	pthread_cleanup_pop(0);
	return NULL;
}

void ends_init(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, never) == 0);
	sem_init(&nobody_posts, 0, 0);
}

void case_cancels(void)
{
	for (int way = 0; way < 10; way++) {
		struct victim v = {.way = way};
		pthread_t t = later(dies, &v);
		void *result;

		if (way % 2)
			moment();
		CHECK(pthread_cancel(t) == 0);
		CHECK(pthread_join(t, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
		CHECK(v.tidied == 1);
	}
}

/* Children of all kinds. */
static int child_calls(int in, int out)
{
	struct pollfd fd = {.fd = in, .events = POLLIN};
	char c;

	poll(NULL, 0, 1);
	if (poll(&fd, 1, -1) != 1 || read(in, &c, 1) != 1 ||
		write(out, &c, 1) != 1)
		return 1;
	return 7;
}

void case_children(void)
{
	int p[2], q[2], status;
	char c = 'x';
	pid_t pid;

	CHECK(pipe(p) == 0 && pipe(q) == 0);
	for (int way = 0; way < 4; way++) {
		CHECK(write(p[1], &c, 1) == 1);
		pid = way == 0 ? fork() : vfork();
		if (pid == 0) {
			if (child_calls(p[0], q[1]) != 7)
				_exit(1);
			if (way == 1)
				_exit(7);
			execl("/bin/sh", "sh", "-c", "exit 7", NULL);
			_exit(2);
		}
		CHECK(pid > 0);
		CHECK(read(q[0], &c, 1) == 1 && c == 'x');
		if (way % 2) {
			CHECK(waitpid(pid, &status, 0) == pid);
		} else {
			CHECK(wait4(pid, &status, 0, NULL) == pid);
		}
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	status = system("exit 3");
	CHECK(WEXITSTATUS(status) == 3);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}
