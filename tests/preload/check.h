/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_PRELOAD_CHECK_H
#define GOSTAT_TESTS_PRELOAD_CHECK_H

/* CHECK for programs that see nothing of this project; C and C++. */

#include <stdio.h>
#include <stdlib.h>

#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, \
				__LINE__, #x);                                 \
			_Exit(1);                                              \
		}                                                              \
	} while (0)

#endif
