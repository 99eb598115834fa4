/* SPDX-License-Identifier: MIT */
/*
 * Processes in which a check is hard: ptrace and clone refused by seccomp,
 * memory that nobody may read from outside. Under seccomp nobody looks, since
 * any system call may be the last; and that is said.
 *
 * truth: seccomp | unchecked modes=exit,strict
 * truth: private keep | clean
 * truth: private drop | 1/4242
 */
#include "truth.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static bool keep;
void *root;

static NOINLINE void refuse(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the call's number */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	MUST(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
}

int main(int argc, char **argv)
{
	keep = said(argc, argv, "keep");
	put(&root, make(MARKER), 0);
	if (!keep)
		root = NULL;
	clobber();
	if (said(argc, argv, "seccomp"))
		refuse();
	else
		MUST(!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	now();
	return 0;
}
