/* SPDX-License-Identifier: MIT */
/*
 * unwind_cfi: from an address to its row of the unwind table.
 *
 *	address --_dl_find_object--> .eh_frame_hdr --binary search--> FDE
 *	FDE --> CIE; run the CIE's program, then the FDE's up to the address
 *
 * This costs 0.3 to 1 microsecond and is done once for each call site
 * (unwind_rule.c remembers the answer). _dl_find_object (glibc 2.35) takes no
 * lock; where it is missing, modules.c knows the same from load time. Nothing
 * here asks dl_iterate_phdr, whose lock may be held by a thread that waits
 * for us.
 *
 * Tables are read where the loader mapped them. They are trusted to be what a
 * linker wrote, but not blindly: each entry is read through a cursor that
 * ends with the entry, and entries lie inside the module.
 *
 * Invariants:
 *   I1  a row that cfi_find() calls good covers at: pc_begin <= at < pc_end;
 *   I2  expressions in it lie inside the module's mapping.
 */
#include "profile/unwind_cfi.h"
#include "profile/modules.h"
#include "profile/unwind_dwarf.h"

#include <dlfcn.h>

/* States that DW_CFA_remember_state can nest; compilers use one, at most 3. */
enum { MAX_REMEMBERED = 4 };

/* Longer entries than this are nonsense. */
enum { MAX_ENTRY = 1 << 24 };

enum {
	CFA_NOP = 0x00,
	CFA_SET_LOC,
	CFA_ADVANCE_LOC1,
	CFA_ADVANCE_LOC2,
	CFA_ADVANCE_LOC4,
	CFA_OFFSET_EXTENDED,
	CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED,
	CFA_SAME_VALUE,
	CFA_REGISTER,
	CFA_REMEMBER_STATE,
	CFA_RESTORE_STATE,
	CFA_DEF_CFA,
	CFA_DEF_CFA_REGISTER,
	CFA_DEF_CFA_OFFSET,
	CFA_DEF_CFA_EXPRESSION,
	CFA_EXPRESSION,
	CFA_OFFSET_EXTENDED_SF,
	CFA_DEF_CFA_SF,
	CFA_DEF_CFA_OFFSET_SF,
	CFA_VAL_OFFSET,
	CFA_VAL_OFFSET_SF,
	CFA_VAL_EXPRESSION,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET = 0x2f,
	/* in the upper two bits, the lower six are an operand */
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0
};

/* Where a module's tables are. */
struct object {
	uintptr_t lo, hi; /* the whole mapping */
	uintptr_t hdr;	  /* .eh_frame_hdr, 0: none */
};

struct cie {
	struct dwarf program;
	uint64_t code_align;
	int64_t data_align;
	uint8_t fde_enc;
	bool augmented, signal;
};

struct fde {
	struct cie cie;
	struct dwarf program;
	uintptr_t begin, end;
};

/* The interpreter's state. */
struct run {
	const struct cie *cie;
	struct cfi_row *row;
	struct cfi_row initial;
	struct cfi_row remembered[MAX_REMEMBERED];
	unsigned nremembered;
	uintptr_t loc, at;
	bool bad;
};

extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

static bool find_object(uintptr_t at, struct object *o)
{
	struct dl_find_object found;
	const struct module *m;

	if (_dl_find_object) {
		if (_dl_find_object((void *)at, &found))
			return false;
		*o = (struct object){.lo = (uintptr_t)found.dlfo_map_start,
			.hi = (uintptr_t)found.dlfo_map_end,
			.hdr = (uintptr_t)found.dlfo_eh_frame};
		return true;
	}
	m = modules_find(at, modules_generation());
	if (!m)
		return false;
	*o = (struct object){.lo = m->lo, .hi = m->hi, .hdr = m->eh_frame_hdr};
	return true;
}

bool cfi_known(uintptr_t at)
{
	struct object o;

	return find_object(at, &o);
}

/*
 * Start reading the CIE or FDE at p: the cursor covers what follows its
 * length. False at the terminator and on nonsense.
 */
static bool open_entry(const struct object *o, uintptr_t p, struct dwarf *d)
{
	uint64_t len;

	if (p < o->lo || p >= o->hi)
		return false;
	*d = (struct dwarf){
		.p = (const uint8_t *)p, .end = (const uint8_t *)o->hi};
	len = dwarf_u32(d);
	if (len == 0xffffffff)
		len = dwarf_u64(d);
	if (d->bad || !len || len > MAX_ENTRY ||
		len > (uint64_t)(d->end - d->p))
		return false;
	d->end = d->p + len;
	return true;
}

static bool read_augmentation(struct cie *c, struct dwarf *d, const char *aug)
{
	uint8_t enc;

	for (; *aug; aug++) {
		switch (*aug) {
		case 'L':
			dwarf_u8(d);
			break;
		case 'R':
			c->fde_enc = dwarf_u8(d);
			break;
		case 'P':
			enc = dwarf_u8(d);
			dwarf_pointer(d, enc & PE_FORMAT, 0);
			break;
		case 'S':
			c->signal = true;
			break;
		case 'B':
			break; /* arm64 */
		default:
			return false;
		}
	}
	return true;
}

static bool read_cie(const struct object *o, uintptr_t p, struct cie *c)
{
	struct dwarf d, aug;
	const char *letters;
	uint8_t version;
	uint64_t ra;

	*c = (struct cie){.fde_enc = PE_ABSPTR};
	if (!open_entry(o, p, &d) || dwarf_u32(&d) != 0)
		return false;
	version = dwarf_u8(&d);
	if (version != 1 && version != 3)
		return false;
	letters = (const char *)d.p;
	while (dwarf_u8(&d))
		;
	c->code_align = dwarf_uleb(&d);
	c->data_align = dwarf_sleb(&d);
	ra = version == 1 ? dwarf_u8(&d) : dwarf_uleb(&d);
	if (d.bad || ra != CFI_RA)
		return false;
	if (*letters == 'z') {
		uint64_t len = dwarf_uleb(&d);

		c->augmented = true;
		aug = d;
		dwarf_skip(&d, len);
		aug.end = d.p;
		if (!read_augmentation(c, &aug, letters + 1) || aug.bad)
			return false;
	} else if (*letters) {
		return false;
	}
	c->program = d;
	return !d.bad;
}

static bool read_fde(
	const struct object *o, uintptr_t p, uintptr_t at, struct fde *f)
{
	uintptr_t back;
	struct dwarf d;
	uint32_t delta;

	if (!open_entry(o, p, &d))
		return false;
	back = (uintptr_t)d.p;
	delta = dwarf_u32(&d);
	if (!delta || delta > back || !read_cie(o, back - delta, &f->cie))
		return false;
	f->begin = dwarf_pointer(&d, f->cie.fde_enc, 0);
	f->end = f->begin + dwarf_pointer(&d, f->cie.fde_enc & PE_FORMAT, 0);
	if (f->cie.augmented)
		dwarf_skip(&d, dwarf_uleb(&d));
	f->program = d;
	return !d.bad && at >= f->begin && at < f->end;
}

/* Without a search table: from one entry to the next. */
static bool scan_fdes(
	const struct object *o, uintptr_t p, uintptr_t at, struct fde *f)
{
	struct dwarf d;

	while (open_entry(o, p, &d)) {
		if (read_fde(o, p, at, f))
			return true;
		p = (uintptr_t)d.end;
	}
	return false;
}

/* The layout that every linker writes: sorted pairs of 32-bit offsets. */
enum { TABLE_ENC = PE_DATAREL | PE_SDATA4 };

static bool find_fde(const struct object *o, uintptr_t at, struct fde *f)
{
	struct dwarf d = {
		.p = (const uint8_t *)o->hdr, .end = (const uint8_t *)o->hi};
	uint8_t version, frame_enc, count_enc, table_enc;
	uintptr_t frames;
	const struct {
		int32_t pc, fde;
	} * table;
	size_t lo = 0, hi;

	if (o->hdr < o->lo || o->hdr >= o->hi)
		return false;
	version = dwarf_u8(&d);
	frame_enc = dwarf_u8(&d);
	count_enc = dwarf_u8(&d);
	table_enc = dwarf_u8(&d);
	if (version != 1)
		return false;
	frames = dwarf_pointer(&d, frame_enc, o->hdr);
	if (count_enc == PE_OMIT || table_enc != TABLE_ENC)
		return scan_fdes(o, frames, at, f);
	hi = dwarf_pointer(&d, count_enc, o->hdr);
	if (d.bad || !hi || hi > (size_t)(d.end - d.p) / sizeof(*table))
		return false;
	table = (const void *)d.p;
	/* The last entry whose pc is not above at. */
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (o->hdr + (uintptr_t)table[mid].pc <= at)
			lo = mid;
		else
			hi = mid;
	}
	return read_fde(o, o->hdr + (uintptr_t)table[lo].fde, at, f);
}

static void set(struct run *r, uint64_t reg, enum cfi_how how, int64_t arg)
{
	if (reg >= CFI_NREG)
		return; /* vector registers: nobody computes a CFA of them */
	r->row->how[reg] = (uint8_t)how;
	r->row->arg[reg] = arg;
}

static void set_cfa(struct run *r, uint64_t reg, int64_t off)
{
	r->bad |= reg >= CFI_NREG;
	r->row->cfa_how = CFI_REGISTER;
	r->row->cfa_reg = (uint8_t)reg;
	r->row->cfa_arg = off;
}

static void restore(struct run *r, uint64_t reg)
{
	if (reg < CFI_NREG)
		set(r, reg, r->initial.how[reg], r->initial.arg[reg]);
}

/* Step over an expression, and return where its length stands. */
static intptr_t block(struct dwarf *d)
{
	intptr_t at = (intptr_t)d->p;

	dwarf_skip(d, dwarf_uleb(d));
	return at;
}

static void remember(struct run *r)
{
	if (r->nremembered == MAX_REMEMBERED)
		r->bad = true;
	else
		r->remembered[r->nremembered++] = *r->row;
}

static void recall(struct run *r)
{
	if (!r->nremembered)
		r->bad = true;
	else
		*r->row = r->remembered[--r->nremembered];
}

/* Instructions about the CFA; false if op is none. */
static bool run_cfa(struct run *r, struct dwarf *d, uint8_t op)
{
	int64_t align = r->cie->data_align;
	uint64_t reg;

	switch (op) {
	case CFA_DEF_CFA:
		reg = dwarf_uleb(d);
		set_cfa(r, reg, (int64_t)dwarf_uleb(d));
		return true;
	case CFA_DEF_CFA_SF:
		reg = dwarf_uleb(d);
		set_cfa(r, reg, dwarf_sleb(d) * align);
		return true;
	case CFA_DEF_CFA_REGISTER:
		set_cfa(r, dwarf_uleb(d), r->row->cfa_arg);
		return true;
	case CFA_DEF_CFA_OFFSET:
		set_cfa(r, r->row->cfa_reg, (int64_t)dwarf_uleb(d));
		return true;
	case CFA_DEF_CFA_OFFSET_SF:
		set_cfa(r, r->row->cfa_reg, dwarf_sleb(d) * align);
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		r->row->cfa_how = CFI_IS_EXPR;
		r->row->cfa_arg = block(d);
		return true;
	default:
		return false;
	}
}

/* Instructions about another register; false if op is none. */
static bool run_reg(struct run *r, struct dwarf *d, uint8_t op)
{
	int64_t align = r->cie->data_align;
	uint64_t reg;

	if (op < CFA_OFFSET_EXTENDED || op > CFA_GNU_NEGATIVE_OFFSET ||
		op == CFA_REMEMBER_STATE || op == CFA_RESTORE_STATE)
		return false;
	reg = dwarf_uleb(d); /* for CFA_GNU_ARGS_SIZE: the size */
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set(r, reg, CFI_AT_CFA, (int64_t)dwarf_uleb(d) * align);
		break;
	case CFA_OFFSET_EXTENDED_SF:
		set(r, reg, CFI_AT_CFA, dwarf_sleb(d) * align);
		break;
	case CFA_GNU_NEGATIVE_OFFSET:
		set(r, reg, CFI_AT_CFA, -(int64_t)dwarf_uleb(d) * align);
		break;
	case CFA_VAL_OFFSET:
		set(r, reg, CFI_IS_CFA, (int64_t)dwarf_uleb(d) * align);
		break;
	case CFA_VAL_OFFSET_SF:
		set(r, reg, CFI_IS_CFA, dwarf_sleb(d) * align);
		break;
	case CFA_RESTORE_EXTENDED:
		restore(r, reg);
		break;
	case CFA_UNDEFINED:
		set(r, reg, CFI_UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set(r, reg, CFI_SAME, 0);
		break;
	case CFA_REGISTER:
		set(r, reg, CFI_REGISTER, (int64_t)dwarf_uleb(d));
		break;
	case CFA_EXPRESSION:
		set(r, reg, CFI_AT_EXPR, block(d));
		break;
	case CFA_VAL_EXPRESSION:
		set(r, reg, CFI_IS_EXPR, block(d));
		break;
	case CFA_GNU_ARGS_SIZE:
		break;
	default:
		return false;
	}
	return true;
}

/* Instructions that move on, and the rest. */
static void run_other(struct run *r, struct dwarf *d, uint8_t op)
{
	switch (op) {
	case CFA_NOP:
		break;
	case CFA_SET_LOC:
		r->loc = dwarf_pointer(d, r->cie->fde_enc, 0);
		break;
	case CFA_ADVANCE_LOC1:
		r->loc += dwarf_u8(d) * r->cie->code_align;
		break;
	case CFA_ADVANCE_LOC2:
		r->loc += dwarf_u16(d) * r->cie->code_align;
		break;
	case CFA_ADVANCE_LOC4:
		r->loc += dwarf_u32(d) * r->cie->code_align;
		break;
	case CFA_REMEMBER_STATE:
		remember(r);
		break;
	case CFA_RESTORE_STATE:
		recall(r);
		break;
	default:
		r->bad = true;
		break;
	}
}

/* Run a program until it ends or describes what comes behind r->at. */
static bool run(struct run *r, struct dwarf d)
{
	while (d.p < d.end && r->loc <= r->at && !d.bad && !r->bad) {
		uint8_t op = dwarf_u8(&d), low = op & 0x3f;

		switch (op & 0xc0) {
		case CFA_ADVANCE_LOC:
			r->loc += low * r->cie->code_align;
			break;
		case CFA_OFFSET:
			set(r, low, CFI_AT_CFA,
				(int64_t)dwarf_uleb(&d) * r->cie->data_align);
			break;
		case CFA_RESTORE:
			restore(r, low);
			break;
		default:
			if (!run_cfa(r, &d, op) && !run_reg(r, &d, op))
				run_other(r, &d, op);
		}
	}
	return !d.bad && !r->bad;
}

bool cfi_find(uintptr_t at, struct cfi_row *row)
{
	struct object o;
	struct fde f;
	struct run r = {.cie = &f.cie, .row = row, .at = at};

	if (!find_object(at, &o) || !o.hdr || !find_fde(&o, at, &f))
		return false;
	memset(row, 0, sizeof(*row));
	row->signal = f.cie.signal;
	r.loc = f.begin;
	if (!run(&r, f.cie.program))
		return false;
	r.initial = *row;
	r.loc = f.begin;
	return run(&r, f.program);
}
