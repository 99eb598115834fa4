/* SPDX-License-Identifier: MIT */
/*
 * sandbox: whether the program has restricted its system calls.
 *
 * A flag and no question to the kernel (PR_GET_SECCOMP): asking may be what a
 * filter kills for. A filter that was there before exec is not seen; such a
 * process has started under it and so allows what starting takes.
 */
#include "os/sandbox.h"

enum sandbox sandboxed;
