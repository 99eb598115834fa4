/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_INTERPOSE_H
#define GOSTAT_PRELOAD_INTERPOSE_H

#include "base/attrs.h"

/* Make the library ready; cheap when it is. Context: any thread, any time. */
void preload_init(void);

/* Pointers that are not ours (preload/foreign.c). */
void foreign_free(void *p);
void *foreign_realloc(void *p, size_t size);
size_t foreign_usable_size(const void *p);

#endif
