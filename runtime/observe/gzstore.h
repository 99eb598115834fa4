/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_GZSTORE_H
#define GOSTAT_OBSERVE_GZSTORE_H

#include "base/fmt.h"

/*
 * A gzip file (RFC 1952) of stored blocks, written as a stream: print into
 * gz->in, the file comes out of the struct fmt given to gzstore_begin().
 */
struct gzstore {
	struct fmt in;
	struct fmt *out;
	uint32_t crc;
	uint32_t size; /* of the plain bytes, modulo 2^32 as the format says */
};

/* The longest stored block; a larger buffer is used up to here. */
enum { GZSTORE_BLOCK = 65535 };

/*
 * Write the file's header to out; buf (1 to GZSTORE_BLOCK bytes) collects one
 * block. Five bytes of overhead for each cap bytes. Context: anywhere.
 */
void gzstore_begin(struct gzstore *gz, struct fmt *out, char *buf, size_t cap);

/* Write the last block and the trailer. out is not flushed. */
void gzstore_end(struct gzstore *gz);

/* The CRC-32 of gzip and PNG, continued: crc is 0 at the start. */
uint32_t crc32_add(uint32_t crc, const void *p, size_t n);

#endif
