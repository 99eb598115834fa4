/* SPDX-License-Identifier: MIT */
/*
 * A program that restricts itself after start: RLIMIT_AS, seccomp strict,
 * a seccomp filter with which an allocator must be content. Holds under glibc.
 */
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

/* Run in a child; it ends with exit status 0 or does not. */
static void in_child(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		f();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		fprintf(stderr, "status %#x\n", (unsigned)status);
	CHECK(status == 0);
}

static void use_most_of(size_t limit)
{
	static char *p[4096];
	size_t n = 0;

	for (int round = 0; round < 3; round++) {
		for (n = 0; n < 4096 && (p[n] = malloc(MIB / 4)); n++)
			memset(p[n], 1, MIB / 4);
		CHECK(n == 4096 || errno == ENOMEM);
		/* What was there before the limit takes its part. */
		CHECK(n * (MIB / 4) >= limit / 2);
		while (n)
			free(p[--n]);
	}
	free(malloc(limit / 2));
}

static const size_t room = 256 * (size_t)MIB;

static void with_setrlimit(void)
{
	struct rlimit r = {room, RLIM_INFINITY}, now;

	CHECK(setrlimit(RLIMIT_AS, &r) == 0);
	CHECK(getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur == room);
	use_most_of(room);
}

static void with_prlimit(void)
{
	struct rlimit r = {room, room}, old;

	CHECK(prlimit(0, RLIMIT_AS, NULL, &old) == 0);
	CHECK(prlimit(getpid(), RLIMIT_AS, &r, &old) == 0);
	CHECK(old.rlim_cur == RLIM_INFINITY);
	use_most_of(room);
	r.rlim_cur = r.rlim_max = RLIM_INFINITY;
	if (getuid() == 0 && prlimit(0, RLIMIT_AS, &r, NULL) == 0)
		free(memset(malloc(2 * room), 1, 2 * room));
}

static void with_errors(void)
{
	struct rlimit r = {2, 1};

	errno = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &r) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(setrlimit((__rlimit_resource_t)99, &r) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(prctl(9999, 0, 0, 0, 0) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(syscall(99999) == -1 && errno == ENOSYS);
	errno = 0;
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == -1 &&
		errno == EFAULT);
	CHECK(syscall(SYS_getpid) == getpid());
	CHECK(prctl(PR_SET_NAME, "renamed") == 0);
}

static void churn(void)
{
	static char *p[512];

	for (unsigned i = 0; i < 300000; i++) {
		char **q = &p[i * 7919 % 512];

		free(*q);
		*q = malloc(i * 31 % 400);
	}
	for (unsigned i = 0; i < 512; i++) {
		free(p[i]);
		p[i] = NULL;
	}
}

/* Only read, write, exit and sigreturn are left: no more memory, no advice. */
static void strict(void)
{
	churn();
	free(memset(malloc(20 * MIB), 1, 20 * MIB));
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	for (int i = 0; i < 10; i++)
		churn();
	syscall(SYS_exit, 0);
}

#define ALLOW(nr)                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                       \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void filtered(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_mprotect),
		ALLOW(SYS_madvise),
		ALLOW(SYS_brk),
		ALLOW(SYS_futex),
		ALLOW(SYS_write),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	churn(); /* libc's malloc asks for randomness at first */
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
	churn();
	for (size_t n = 1000; n < 100 * MIB; n = n * 2 + 1) {
		char *p = calloc(n, 1);

		p = realloc(p, 3 * n);
		memset(p, 1, 3 * n);
		free(p);
	}
	exit(0);
}

int main(void)
{
	in_child(with_setrlimit);
	in_child(with_prlimit);
	in_child(with_errors);
	in_child(strict);
	in_child(filtered);
	return 0;
}
