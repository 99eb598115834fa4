/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_SYSCALL_H
#define GOSTAT_BASE_SYSCALL_H

/*
 * System calls by hand (x86-64). They return -errno like the kernel does and
 * leave the thread's errno alone; no other preloaded library can hook them.
 */

#include "base/attrs.h"

#include <sys/syscall.h>

static ALWAYS_INLINE long sys6(long n, long a, long b, long c, long d, long e,
	long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			 "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define sys0(n) sys6((n), 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys6((n), (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys6((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys6((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d)                                                    \
	sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* True for the kernel's error range; the error is then -ret. */
static inline bool sys_failed(long ret)
{
	return (unsigned long)ret > -4096UL;
}

#endif
