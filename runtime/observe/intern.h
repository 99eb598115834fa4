/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_INTERN_H
#define GOSTAT_OBSERVE_INTERN_H

#include "os/grow.h"

/*
 * Byte strings to small numbers: the first distinct string is 1, the next 2,
 * and so on. Used for the tables inside profiles and traces (strings,
 * addresses, functions, stacks). Context: anywhere; one user at a time.
 */
struct intern {
	struct grow bytes; /* all strings, one behind the other */
	struct grow entry; /* struct intern_entry[n] */
	struct grow slot;  /* uint32_t[power of two]: number or 0 */
	uint32_t n;
};

#define INTERN_INIT                                                            \
	{                                                                      \
		.bytes = GROW_INIT(GIB), .entry = GROW_INIT(GIB),              \
		.slot = GROW_INIT(GIB)                                         \
	}

/* The number of a string, new or not; 0 when there is no memory. */
uint32_t intern_id(struct intern *t, const void *key, size_t len);

/* The string of a number, 1 to n; not aligned, and moves with intern_id(). */
const char *intern_key(const struct intern *t, uint32_t id, size_t *len);

void intern_free(struct intern *t);

/* For tests: I1 and I2 of intern.c. */
bool intern_check(const struct intern *t);

#endif
