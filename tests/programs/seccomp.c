/* SPDX-License-Identifier: MIT */
/*
 * seccomp: a program that shuts itself in and goes on allocating.
 *
 *	strict	read, write and _exit only: it reuses what it already has
 *	filter	a list as sandboxes have it; anything else kills the process
 *	refused	it wants to, but the kernel will not have it
 */
#include "work.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCKS = 200, BLOCK = 64 };

static void say(const char *s)
{
	if (write(1, s, strlen(s)) < 0)
		syscall(SYS_exit, 3);
}

static void blocks(void)
{
	void *p[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		p[i] = malloc(BLOCK);
		memset(p[i], i, BLOCK);
	}
	for (int i = 0; i < BLOCKS; i++)
		free(p[i]);
}

static int strict(void)
{
	blocks();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		return 1;
	for (int i = 0; i < 1000; i++)
		blocks();
	say("strict\n");
	/* _exit() would call exit_group, which strict mode forbids. */
	syscall(SYS_exit, 0);
	return 2;
}

static void *run(void *arg)
{
	(void)arg;
	return work(9, 3000) ? NULL : (void *)1;
}

#define ALLOW(name)                                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),                 \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int filter(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, nr)),
		ALLOW(read), ALLOW(write), ALLOW(mmap), ALLOW(munmap),
		ALLOW(mremap), ALLOW(mprotect), ALLOW(madvise), ALLOW(brk),
		ALLOW(futex), ALLOW(getrandom), ALLOW(clone), ALLOW(clone3),
		ALLOW(set_robust_list), ALLOW(rseq), ALLOW(rt_sigaction), ALLOW(rt_sigprocmask),
		ALLOW(rt_sigreturn), ALLOW(exit), ALLOW(exit_group),
		/* glibc's malloc looks at the overcommit setting. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
	static const struct sock_fprog prog = {
		sizeof(code) / sizeof(code[0]), code};
	pthread_t t;
	void *bad;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
		return 1;
	if (work(1, 20000) == 0)
		return 2;
	for (int i = 0; i < 4; i++) {
		if (pthread_create(&t, NULL, run, NULL) != 0)
			return 3;
		pthread_join(t, &bad);
		if (bad)
			return 4;
	}
	say("filter\n");
	return 0;
}

/* Questions as libraries ask them, and a filter that is none. */
static int refused(void)
{
	static const struct sock_filter nothing[1];
	static const struct sock_fprog wrong = {
		1, (struct sock_filter *)nothing};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return 1;
	errno = 0;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != -1 ||
		errno != EFAULT)
		return 2;
	errno = 0;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) != -1 ||
		errno != EINVAL)
		return 3;
	errno = 0;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &wrong) != -1 ||
		errno != EINVAL)
		return 4;
	errno = 0;
	if (syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &wrong, 0,
		    0) != -1 || errno != EINVAL)
		return 5;
	if (work(3, 3000) == 0)
		return 6;
	say("refused\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "strict") == 0)
		return strict();
	if (argc > 1 && strcmp(argv[1], "refused") == 0)
		return refused();
	return filter();
}
