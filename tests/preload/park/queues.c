/* SPDX-License-Identifier: MIT */
/* Semaphores, conditions, locks and queues: what is waited for comes. */
#include "park.h"

#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

static void *post(void *sem)
{
	moment();
	sem_post(sem);
	return NULL;
}

struct meeting {
	pthread_mutex_t m;
	pthread_cond_t c;
	bool met;
};

static void *meet(void *arg)
{
	struct meeting *it = arg;

	moment();
	pthread_mutex_lock(&it->m);
	it->met = true;
	pthread_cond_signal(&it->c);
	pthread_mutex_unlock(&it->m);
	return NULL;
}

static void *unlocks(void *arg)
{
	moment();
	flock(*(int *)arg, LOCK_UN);
	return NULL;
}

void case_locks(void)
{
	struct meeting it = {.m = PTHREAD_MUTEX_INITIALIZER,
		.c = PTHREAD_COND_INITIALIZER};
	char path[] = "/tmp/gostat-park-XXXXXX";
	int held, wanted;
	pthread_t t;
	sem_t sem;

	sem_init(&sem, 0, 0);
	t = later(post, &sem);
	CHECK(sem_wait(&sem) == 0);
	join(t);
	t = later(meet, &it);
	pthread_mutex_lock(&it.m);
	while (!it.met)
		CHECK(pthread_cond_wait(&it.c, &it.m) == 0);
	pthread_mutex_unlock(&it.m);
	join(t);
	held = mkstemp(path);
	wanted = open(path, O_RDWR);
	unlink(path);
	CHECK(flock(held, LOCK_EX) == 0);
	t = later(unlocks, &held);
	CHECK(flock(wanted, LOCK_EX) == 0);
	join(t);
	close(held);
	close(wanted);
}

/* System V and POSIX queues, where the machine has them. */
struct letter {
	long type;
	char text[1024];
};

static void *send_letter(void *id)
{
	struct letter l = {.type = 1};

	moment();
	CHECK(msgsnd(*(int *)id, &l, sizeof(l.text), 0) == 0);
	return NULL;
}

static void *take_letter(void *id)
{
	struct letter l;

	moment();
	CHECK(msgrcv(*(int *)id, &l, sizeof(l.text), 0, 0) ==
		sizeof(l.text));
	return NULL;
}

static void *raise_sem(void *id)
{
	struct sembuf up = {0, 1, 0};

	moment();
	CHECK(semop(*(int *)id, &up, 1) == 0);
	return NULL;
}

void case_system_v(void)
{
	struct sembuf down = {0, -1, 0};
	struct letter l = {.type = 1};
	int id = msgget(IPC_PRIVATE, 0600);
	pthread_t t;

	if (id >= 0) {
		t = later(send_letter, &id);
		CHECK(msgrcv(id, &l, sizeof(l.text), 0, 0) == sizeof(l.text));
		join(t);
		while (msgsnd(id, &l, sizeof(l.text), IPC_NOWAIT) == 0)
			;
		t = later(take_letter, &id);
		CHECK(msgsnd(id, &l, sizeof(l.text), 0) == 0);
		join(t);
		msgctl(id, IPC_RMID, NULL);
	}
	id = semget(IPC_PRIVATE, 1, 0600);
	if (id >= 0) {
		t = later(raise_sem, &id);
		CHECK(semop(id, &down, 1) == 0);
		join(t);
		semctl(id, 0, IPC_RMID);
	}
}

static void *mail(void *q)
{
	moment();
	CHECK(mq_send(*(mqd_t *)q, "x", 1, 0) == 0);
	return NULL;
}

static void *fetch(void *q)
{
	char buf[16];

	moment();
	CHECK(mq_receive(*(mqd_t *)q, buf, 16, NULL) == 1);
	return NULL;
}

void case_queues(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
	char name[32], buf[16];
	pthread_t t;
	mqd_t q;

	snprintf(name, sizeof(name), "/gostat-%d", (int)getpid());
	q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	if (q < 0)
		return;
	mq_unlink(name);
	t = later(mail, &q);
	CHECK(mq_receive(q, buf, 16, NULL) == 1);
	join(t);
	CHECK(mq_send(q, "x", 1, 0) == 0);
	t = later(fetch, &q);
	CHECK(mq_send(q, "y", 1, 0) == 0);
	join(t);
	mq_close(q);
}
