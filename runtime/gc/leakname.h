/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LEAKNAME_H
#define GOSTAT_GC_LEAKNAME_H

#include "base/attrs.h"

/* What is known of a frame of an allocation stack. */
struct leak_frame {
	uintptr_t pc;		 /* behind the call */
	const char *function;	 /* linkage name, or NULL */
	uintptr_t into;		 /* of pc - 1 in the function */
	const char *module;	 /* path, or NULL */
	const uint8_t *build_id; /* build_id_len bytes */
	unsigned build_id_len;
	uint64_t offset; /* of pc - 1 in the module's file addresses */
};

enum { LEAK_FRAMES = 1024 };

/* Who knows; profile/ does. Tests put their own here. */
struct leak_names {
	/* As stacktab_frames(). */
	size_t (*frames)(uint32_t stack, uintptr_t *pc, size_t max);
	/*
	 * Fill in a frame of that stack, which is all zero but for pc. No
	 * lock, no allocation: the snapshot's child asks too.
	 */
	void (*describe)(uint32_t stack, struct leak_frame *f);
};
extern HIDDEN struct leak_names leak_names;

/* The frames of a stack, innermost first; how many there are. */
size_t leak_frames(uint32_t stack, uintptr_t *pc, size_t max);

/*
 * f->pc is set; the rest is filled in or zero. Names stay until
 * symbols_forget().
 */
void leak_describe(uint32_t stack, struct leak_frame *f);

/*
 * Sixteen hexadecimal digits and NUL that tell one allocation stack from
 * others and survive a new build of the program: FNV-1a (64 bits) over, for
 * each frame from the innermost to main, the last part of the module's path, a
 * byte 0, the function's linkage name (nothing if unknown), a byte 0.
 */
enum { LEAK_FINGERPRINT = 17 };
void leak_fingerprint(uint32_t stack, char out[LEAK_FINGERPRINT]);

#endif
