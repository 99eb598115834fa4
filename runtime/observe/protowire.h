/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_PROTOWIRE_H
#define GOSTAT_OBSERVE_PROTOWIRE_H

/*
 * The part of the protocol-buffer encoding that profile.proto needs: varints,
 * and fields of wire type 0 (varint) and 2 (length-delimited). The execution
 * trace uses the same varints.
 */

#include "base/fmt.h"

static inline size_t wire_varint_len(uint64_t v)
{
	return v ? (size_t)(63 - __builtin_clzll(v)) / 7 + 1 : 1;
}

static inline void wire_varint(struct fmt *f, uint64_t v)
{
	char buf[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		buf[n++] = (char)(v | 0x80);
	buf[n++] = (char)v;
	fmt_mem(f, buf, n);
}

/* A varint field; as in proto3, zero is told by absence. */
static inline void wire_uint(struct fmt *f, unsigned field, uint64_t v)
{
	if (!v)
		return;
	wire_varint(f, field << 3);
	wire_varint(f, v);
}

/* The start of a length-delimited field; len bytes must follow. */
static inline void wire_open(struct fmt *f, unsigned field, size_t len)
{
	wire_varint(f, field << 3 | 2);
	wire_varint(f, len);
}

static inline void wire_bytes(struct fmt *f, unsigned field, const void *p,
	size_t len)
{
	wire_open(f, field, len);
	fmt_mem(f, p, len);
}

#endif
