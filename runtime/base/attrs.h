/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_ATTRS_H
#define GOSTAT_BASE_ATTRS_H

/*
 * Compiler attributes and the handful of macros every file needs.
 *
 * Everything is hidden by default (-fvisibility=hidden); API marks the
 * symbols that leave the library, and preload/gostat.map lists them again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD __attribute__((cold, noinline))
/*
 * Runs when a process begins or ends, in code that most processes use no more
 * of: such functions lie side by side and share the pages they become resident
 * in.
 */
#define AT_START __attribute__((section(".text.startup")))
/* For extern data: -fvisibility covers definitions only. */
#define HIDDEN __attribute__((visibility("hidden")))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CACHE_ALIGNED __attribute__((aligned(64)))

/*
 * The hit paths of malloc and free. They lie in a section of their own, so
 * that a stop of the world can tell from the program counter that a thread is
 * between two of their stores (an object is then in no place at all).
 */
#define HOT __attribute__((section("gostat_hot"), hot, aligned(64)))
/* The linker's bounds of it; NULL where a program has no such function. */
extern HIDDEN const char __start_gostat_hot[] __attribute__((weak));
extern HIDDEN const char __stop_gostat_hot[] __attribute__((weak));

/*
 * Initial-exec: one load from the GOT, no call to __tls_get_addr, which could
 * itself allocate. Only a few words may be thread-local: the static TLS
 * surplus is shared by every library that is opened later.
 */
#define THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NELEM(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((a) - 1))
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define container_of(p, type, member)                                          \
	((type *)((char *)(p) - offsetof(type, member)))

#endif
