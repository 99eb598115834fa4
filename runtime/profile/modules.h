/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_MODULES_H
#define GOSTAT_PROFILE_MODULES_H

#include "base/attrs.h"

/*
 * Every executable and shared library with code that was ever seen in this
 * process, so that an address keeps its meaning after dlclose.
 *
 * Modules of one generation do not overlap. A new generation begins when a
 * module shows up where another one used to be; stacks are interned together
 * with their generation (stacktab.h), so each pc has one module for ever.
 */
enum {
	MODULE_BUILD_ID = 32, /* bytes; 20 is usual */
	MODULE_TEXTS = 4,     /* executable segments kept; 1 is usual */
	MODULES_MAX = 1 << 14
};

struct module {
	uintptr_t lo, hi; /* first and one past the last mapped address */
	uintptr_t bias;	  /* address - bias = address in the file's headers */
	uintptr_t eh_frame_hdr; /* address, 0: none */
	const char *path;	/* as the loader has it; never empty */
	uint32_t born;		/* first generation */
	uint32_t died; /* generation that replaced it; UINT32_MAX: none */
	uint8_t build_id_len; /* 0: none */
	uint8_t build_id[MODULE_BUILD_ID];
	uint8_t ntext;
	struct {
		uintptr_t lo, hi; /* addresses */
		uint64_t offset;  /* of lo in the file */
	} text[MODULE_TEXTS];
};

/*
 * Look at all loaded modules. Called at start, after dlopen, and before a
 * report; cheap when nothing was loaded or unloaded since.
 * Context: not in a signal handler; takes the loader's lock. errno is kept.
 */
void modules_refresh(void);

/*
 * Call fn(arg) while the loader unmaps nothing: what it has mapped stays where
 * it is. Context: as modules_refresh(), which fn may not call.
 */
void modules_hold(void (*fn)(void *), void *arg);

/*
 * Make sure that the module around pc is known; called for each new call site.
 * Returns true if it replaced another one (a new generation has begun).
 * Context: anywhere; no lock is waited for, so now and then it does nothing.
 */
bool modules_note(uintptr_t pc);

uint32_t modules_generation(void);

/*
 * The module that pc (an address inside it) belonged to in a generation, or
 * NULL. The answer stays valid for ever. Context: anywhere, lock-free.
 */
const struct module *modules_find(uintptr_t pc, uint32_t generation);

/* Modules 0 to modules_count() - 1, in the order in which they were seen. */
size_t modules_count(void);
const struct module *modules_at(size_t i);

/* fork(2) must not happen in the middle of an addition. */
void modules_prefork(void);
void modules_postfork(bool child);

/* Tests: stop the process if an invariant is broken. */
void modules_check(void);

#endif
