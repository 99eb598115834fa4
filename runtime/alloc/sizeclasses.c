/* SPDX-License-Identifier: MIT */
/* sizeclasses: the tables of the header, printed by scripts/mksizeclasses.py. */
#define SIZECLASSES_HERE
#include "alloc/sizeclasses.h"
