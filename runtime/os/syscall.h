/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_SYSCALL_H
#define GOSTAT_OS_SYSCALL_H

/* System calls by hand live in the base layer: fmt and fatal need write(2). */
#include "base/syscall.h"

#endif
