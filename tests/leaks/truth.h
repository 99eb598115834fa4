/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_LEAKS_TRUTH_H
#define GOSTAT_TESTS_LEAKS_TRUTH_H

/*
 * What the programs of this folder share. Each of them knows exactly what it
 * leaks, and says so in its head comment; run.py reads it there.
 *
 * That takes care. An address must be nowhere but where the program wants it,
 * and compilers and calls leave copies in registers and dead frames. So
 * programs pass addresses around as complements (cookie), which no collector
 * takes for a pointer, turn one into the other only in functions that are not
 * inlined, and clobber() what these have left behind.
 */
#include "gostat.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, unused))

enum { MARKER = 4242, SKIP = 77 };

typedef uintptr_t cookie; /* ~address */

#define MUST(x)                                                                \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, \
				__LINE__, #x);                                 \
			_exit(99);                                             \
		}                                                              \
	} while (0)

/* Named in assembly. */
static bool truth_avx __asm__("truth_avx") __attribute__((used));
static bool truth_avx512 __asm__("truth_avx512") __attribute__((used));
static void clobber_registers(void) __asm__("clobber_registers");

static __attribute__((constructor, used)) void truth_cpu(void)
{
	truth_avx = __builtin_cpu_supports("avx");
	truth_avx512 = __builtin_cpu_supports("avx512f");
}

/* Overwrite all registers that nobody owns. Touches no stack. */
static __attribute__((naked, noinline, used)) void clobber_registers(void)
{
	__asm__("cmpb $0, truth_avx(%rip)\n"
		"je 1f\n"
		"vzeroall\n"
		"cmpb $0, truth_avx512(%rip)\n"
		"je 2f\n"
		".irp r,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		"vpxorq %zmm\\r, %zmm\\r, %zmm\\r\n"
		".endr\n"
		"jmp 2f\n"
		"1:\n"
		".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"pxor %xmm\\r, %xmm\\r\n"
		".endr\n"
		"2:\n"
		"xor %eax, %eax\n"
		"mov %rax, %rcx\n"
		"mov %rax, %rdx\n"
		"mov %rax, %rsi\n"
		"mov %rax, %rdi\n"
		"mov %rax, %r8\n"
		"mov %rax, %r9\n"
		"mov %rax, %r10\n"
		"mov %rax, %r11\n"
		"ret");
}

/* And dead frames: 56 KiB below the caller's, without a gap. */
static __attribute__((naked, noinline, unused)) void clobber(void)
{
	__asm__("lea -57344(%rsp), %rdi\n"
		"mov $7168, %ecx\n"
		"xor %eax, %eax\n"
		"rep stosq\n"
		"jmp clobber_registers");
}

/* The last one, for reclaim() and debuggers. */
static cookie truth_last __attribute__((used));
static size_t truth_size;

/* An object of n bytes, full of zeroes. */
static NOINLINE cookie make(size_t n)
{
	void *p = malloc(n);

	MUST(p);
	memset(p, 0, n);
	truth_size = n;
	truth_last = ~(uintptr_t)p;
	return truth_last;
}

static inline void *reveal(cookie c)
{
	__asm__ volatile("" : "+r"(c));
	return (void *)~c;
}

/* Write the address, and something on top, to a place. */
static NOINLINE void put(void *where, cookie c, ptrdiff_t plus)
{
	char *p = (char *)reveal(c) + plus;

	memcpy(where, &p, sizeof(p));
}

/* Inside object c, at a byte offset, write the address of object to. */
static NOINLINE void tie(cookie c, size_t offset, cookie to)
{
	put((char *)reveal(c) + offset, to, 0);
	if (truth_last == c)
		truth_last = 0;
}

/* Until the kernel has no such thread any more: its stack is nobody's then. */
static NOINLINE void wait_for_end(const volatile int *tid)
{
	char path[64];

	while (!*tid)
		usleep(100);
	snprintf(path, sizeof(path), "/proc/self/task/%d", *tid);
	while (!access(path, F_OK))
		usleep(100);
}

/* Is the truth in its head comment true for the first word? */
static inline bool said(int argc, char **argv, const char *word)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], word))
			return true;
	return false;
}

static NOINLINE void drop(cookie c)
{
	if (truth_last == c)
		truth_last = 0;
	free(reveal(c));
}

/* The object is whole: nobody has freed or changed it. */
static NOINLINE void untouched(cookie c, size_t n)
{
	const char *p = (const char *)reveal(c);

	for (size_t i = 0; i < n; i++)
		MUST(p[i] == 0);
}

/*
 * Where garbage is collected, not reported: what was made last is in use.
 * Memory that was taken for garbage would be given to somebody else now.
 */
static NOINLINE void reclaim(void)
{
	static void *again[64];
	cookie last = truth_last;

	if (!getenv("TRUTH_RECLAIM"))
		return;
	MUST(gostat_available());
	truth_last = 0;
	for (int round = 0; round < 3; round++) {
		gostat_gc();
		for (size_t i = 0; i < 64; i++) {
			again[i] = malloc(truth_size);
			MUST(again[i]);
			memset(again[i], 0x5a, truth_size);
		}
		for (size_t i = 0; i < 64; i++)
			free(again[i]);
		if (last)
			untouched(last, truth_size);
	}
	truth_last = last;
	clobber();
}

/*
 * From here on the truth holds. If run.py wants to know it before the end, too,
 * ask, and write the answer down: the same each time.
 */
static NOINLINE void now(void)
{
	const char *path = getenv("TRUTH_FOUND");
	char line[200];
	int fd;

	reclaim();
	if (!path)
		return;
	MUST(gostat_available());
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	for (int i = 0; i < 3; i++) {
		struct gostat_leaks l;
		size_t n = gostat_find_leaks(&l);
		int len = snprintf(line, sizeof(line),
			"%d %zu %lu/%lu+%lu/%lu %lu/%lu\n", getpid(), n,
			(unsigned long)l.direct_objects,
			(unsigned long)l.direct_bytes,
			(unsigned long)l.indirect_objects,
			(unsigned long)l.indirect_bytes,
			(unsigned long)l.suppressed_objects,
			(unsigned long)l.suppressed_bytes);

		MUST(write(fd, line, (size_t)len) == len);
	}
	close(fd);
}

#endif
