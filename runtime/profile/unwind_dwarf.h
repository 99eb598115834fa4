/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_DWARF_H
#define GOSTAT_PROFILE_UNWIND_DWARF_H

#include "base/attrs.h"

#include <string.h>

/*
 * Reading DWARF bytes. A cursor never passes its end: what would lie beyond
 * reads as zero and sets bad, which is looked at once, after a whole entry.
 */
struct dwarf {
	const uint8_t *p, *end;
	bool bad;
};

/* Pointer encodings: DW_EH_PE_*. */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_RELATIVE = 0x70,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff
};

static inline void dwarf_take(struct dwarf *d, void *to, size_t n)
{
	if ((size_t)(d->end - d->p) < n) {
		memset(to, 0, n);
		d->p = d->end;
		d->bad = true;
		return;
	}
	memcpy(to, d->p, n);
	d->p += n;
}

static inline void dwarf_skip(struct dwarf *d, uint64_t n)
{
	if ((uint64_t)(d->end - d->p) < n) {
		n = (uint64_t)(d->end - d->p);
		d->bad = true;
	}
	d->p += n;
}

#define DWARF_READ(name, type)                                                 \
	static inline type name(struct dwarf *d)                               \
	{                                                                      \
		type v;                                                        \
                                                                               \
		dwarf_take(d, &v, sizeof(v));                                  \
		return v;                                                      \
	}
DWARF_READ(dwarf_u8, uint8_t)
DWARF_READ(dwarf_u16, uint16_t)
DWARF_READ(dwarf_u32, uint32_t)
DWARF_READ(dwarf_u64, uint64_t)
#undef DWARF_READ

/* Bits beyond the 64th are dropped. */
static inline uint64_t dwarf_uleb(struct dwarf *d)
{
	uint64_t v = 0;
	unsigned shift = 0;
	uint8_t b;

	do {
		b = dwarf_u8(d);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
	} while (b & 0x80);
	return v;
}

static inline int64_t dwarf_sleb(struct dwarf *d)
{
	uint64_t v = 0;
	unsigned shift = 0;
	uint8_t b;

	do {
		b = dwarf_u8(d);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
	} while (b & 0x80);
	if (b & 0x40 && shift < 64)
		v |= ~(uint64_t)0 << shift;
	return (int64_t)v;
}

/*
 * A pointer in encoding enc; data is what PE_DATAREL counts from. 0 stays 0
 * whatever it is relative to. PE_INDIRECT is left to the caller.
 */
static inline uintptr_t dwarf_pointer(
	struct dwarf *d, uint8_t enc, uintptr_t data)
{
	uintptr_t here = (uintptr_t)d->p, v;

	switch (enc & PE_FORMAT) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		v = dwarf_u64(d);
		break;
	case PE_ULEB:
		v = dwarf_uleb(d);
		break;
	case PE_SLEB:
		v = (uintptr_t)dwarf_sleb(d);
		break;
	case PE_UDATA2:
		v = dwarf_u16(d);
		break;
	case PE_SDATA2:
		v = (uintptr_t)(int16_t)dwarf_u16(d);
		break;
	case PE_UDATA4:
		v = dwarf_u32(d);
		break;
	case PE_SDATA4:
		v = (uintptr_t)(int32_t)dwarf_u32(d);
		break;
	default:
		d->bad = true;
		return 0;
	}
	if (!v)
		return 0;
	switch (enc & PE_RELATIVE) {
	case 0:
		return v;
	case PE_PCREL:
		return v + here;
	case PE_DATAREL:
		return v + data;
	default: /* relative to text or function: not on x86-64 */
		d->bad = true;
		return 0;
	}
}

#endif
