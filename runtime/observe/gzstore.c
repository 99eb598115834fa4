/* SPDX-License-Identifier: MIT */
/*
 * gzstore: gzip without compression.
 *
 * Readers of profiles expect gzip. A compressor inside somebody else's process
 * would bring a library, a quarter of a megabyte of tables and time on the
 * helper thread; "stored" blocks bring 5 bytes for every 65535.
 *
 *	1f 8b 08 00  00 00 00 00  00 ff    header: deflate, no name, no time
 *	00 LEN ~LEN  bytes...              a block; BTYPE 00 is byte-aligned
 *	...
 *	01 LEN ~LEN  bytes...              the last one
 *	CRC-32  SIZE                       of the plain bytes, little-endian
 *
 * Invariants:
 *   I1  crc and size cover exactly the bytes that went out in blocks;
 *   I2  a block is written only when its length is known: in->buf is full, or
 *       the stream ends.
 *
 * Locks: none, a stream has one writer.
 *
 * The CRC goes by half bytes: 64 bytes of table instead of a kilobyte, which
 * the application's caches do not have to make room for. A gigabyte takes a
 * few seconds that way; profiles have megabytes.
 */
#include "observe/gzstore.h"

static const uint32_t crc_half[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t crc32_add(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *s = p;

	crc = ~crc;
	while (n--) {
		crc ^= *s++;
		crc = crc >> 4 ^ crc_half[crc & 15];
		crc = crc >> 4 ^ crc_half[crc & 15];
	}
	return ~crc;
}

static void put_le(struct fmt *out, uint32_t v, int bytes)
{
	for (; bytes--; v >>= 8)
		fmt_char(out, (char)v);
}

static void block(struct gzstore *gz, bool last)
{
	uint32_t n = (uint32_t)gz->in.len;

	fmt_char(gz->out, last);
	put_le(gz->out, n, 2);
	put_le(gz->out, ~n, 2);
	fmt_mem(gz->out, gz->in.buf, n);
	gz->crc = crc32_add(gz->crc, gz->in.buf, n);
	gz->size += n;
	gz->in.len = 0;
}

static bool full(struct fmt *f)
{
	block(container_of(f, struct gzstore, in), false);
	return true;
}

void gzstore_begin(struct gzstore *gz, struct fmt *out, char *buf, size_t cap)
{
	static const char head[10] = "\x1f\x8b\x08\0\0\0\0\0\0\xff";

	*gz = (struct gzstore){.out = out};
	fmt_init(&gz->in, buf, MIN(cap, (size_t)GZSTORE_BLOCK), -1);
	gz->in.full = full;
	fmt_mem(out, head, sizeof(head));
}

void gzstore_end(struct gzstore *gz)
{
	block(gz, true);
	put_le(gz->out, gz->crc, 4);
	put_le(gz->out, gz->size, 4);
}
