/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_CFI_H
#define GOSTAT_PROFILE_UNWIND_CFI_H

#include "base/attrs.h"

/*
 * What the compiler wrote into .eh_frame about one instruction: how to find
 * the caller's registers from this frame's. Register numbers are DWARF's.
 */
enum {
	CFI_RBX = 3,
	CFI_RBP = 6,
	CFI_RSP = 7,
	CFI_R12 = 12,
	CFI_R15 = 15,
	CFI_RA = 16,
	CFI_NREG = 17
};

enum cfi_how {
	CFI_SAME,      /* unchanged, the default */
	CFI_UNDEFINED, /* lost; for CFI_RA: this is the outermost frame */
	CFI_AT_CFA,    /* saved at CFA + arg */
	CFI_IS_CFA,    /* is CFA + arg */
	CFI_REGISTER,  /* saved in register arg; for the CFA: register + arg */
	CFI_AT_EXPR,   /* saved where the expression at arg says */
	CFI_IS_EXPR    /* is what the expression at arg says */
};

struct cfi_row {
	uint8_t cfa_how; /* CFI_REGISTER or CFI_IS_EXPR */
	uint8_t cfa_reg;
	bool signal; /* the frame is the kernel's signal trampoline */
	uint8_t how[CFI_NREG];
	intptr_t cfa_arg;
	intptr_t
		arg[CFI_NREG]; /* an expression's: address of its ULEB length */
};

/*
 * The row that holds at the instruction which contains address at. False when
 * there is no unwind information for it, or none that makes sense.
 *
 * Context: anywhere; no lock, no system call, about 1.5 KiB of stack. The
 * code at at must not be unmapped meanwhile, which a frame on the caller's
 * own stack ensures.
 */
bool cfi_find(uintptr_t at, struct cfi_row *row);

/* True if at lies in a module that the loader knows. Context: as above. */
bool cfi_known(uintptr_t at);

#endif
