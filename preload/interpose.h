/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_INTERPOSE_H
#define GOSTAT_PRELOAD_INTERPOSE_H

#include "base/attrs.h"

/* Another name for a function of the same file. */
#define SAME_AS(f) __attribute__((alias(#f), copy(f)))

/* Make the library ready; cheap when it is. Context: any thread, any time. */
void preload_init(void);

/*
 * The process ends without exit handlers: what else is to be done. Not in the
 * child of a vfork, which is in its parent's memory. Context: anywhere.
 */
void preload_exits(void);

/* Register the atfork handlers (preload/fork.c). */
void fork_init(void);

/* Find libc's own dlopen and dlclose; cheap when done. */
void dl_init(void);

/*
 * The handle of a library that is loaded (by name or path), or NULL. The
 * caller owns no reference: it is good for a dlsym() at once.
 */
void *dl_borrow(const char *name);

/*
 * What a name means behind this library: libc's, or another library's like us.
 * NULL: nothing. Takes the loader's lock, so it is for the constructor.
 */
void *dl_next(const char *name);

/* Is f code of our own namespace's libc? */
bool dl_in_libc(void *f);

/*
 * Calls that wait count as being at rest (preload/park.c): from now on, unless
 * there is no collector to need it.
 */
void calls_init(void);

/* vfork, clone, pthread_create, sigaltstack (preload/birth.c). */
void birth_init(void);

/*
 * Find libc's own prctl and syscall: what comes next, be it libc or another
 * library like us. Read by assembly.
 */
void limits_init(void);
struct limits_real {
	void *prctl;   /* 0 */
	void *syscall; /* 8 */
};
extern struct limits_real limits_real HIDDEN;

/* prctl(PR_SET_SECCOMP, ...) and syscall(SYS_seccomp, ...): seccomp.c. */
HIDDEN int seccomp_by_prctl(int option, long mode, long b, long c, long d);
HIDDEN long seccomp_by_number(long n, long op, long flags, void *args);

/* Find libc's own functions that preload/kernelptr.c wraps. */
void kernelptr_init(void);

/* Pointers that are not ours (preload/foreign.c). */
void foreign_init(void);
void foreign_free(void *p);
void *foreign_realloc(void *p, size_t size);
size_t foreign_usable_size(const void *p);

/*
 * C++ operators by their mangled names, which no header declares. struct
 * nothrow is std::nothrow_t.
 */
struct nothrow;
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag);
void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag);
void *_ZnwmSt11align_val_t(size_t size, size_t align);
void *_ZnamSt11align_val_t(size_t size, size_t align);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(
	size_t size, size_t align, const struct nothrow *tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(
	size_t size, size_t align, const struct nothrow *tag);
void _ZdlPv(void *p);
void _ZdlPvm(void *p, size_t size);

#endif
