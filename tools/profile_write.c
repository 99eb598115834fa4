/* SPDX-License-Identifier: MIT */
/*
 * profile_write: the writer of profile.proto. Messages are put together in a
 * buffer of their own, since a message's length stands before it.
 *
 * Compressed with zlib; the library in the process, which has no memory to
 * spare, writes stored blocks, and what comes out here is a tenth of that.
 */
#include "profile.h"
#include "cli.h"
#include "observe/protowire.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* A fmt that prints into a buf. */
static bool enlarge(struct fmt *f)
{
	struct buf *b = f->full_arg;

	b->len = f->len;
	buf_room(b, MAX(f->cap, (size_t)256));
	f->buf = b->data;
	f->cap = b->cap;
	return true;
}

static struct fmt into(struct buf *b)
{
	struct fmt f;

	b->len = 0;
	buf_room(b, 256);
	fmt_init(&f, b->data, b->cap, -1);
	f.full = enlarge;
	f.full_arg = b;
	return f;
}

/* A message as a field of another one. */
static void put(struct fmt *out, unsigned field, const struct fmt *message)
{
	wire_bytes(out, field, message->buf, message->len);
}

static void put_numbers(
	struct fmt *out, unsigned field, const uint64_t *v, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += wire_varint_len(v[i]);
	if (!n)
		return;
	wire_open(out, field, len);
	for (size_t i = 0; i < n; i++)
		wire_varint(out, v[i]);
}

static void put_type(struct fmt *out, unsigned field,
	const struct profile_type *t, struct buf *scratch)
{
	struct fmt m = into(scratch);

	wire_uint(&m, 1, t->type);
	wire_uint(&m, 2, t->unit);
	put(out, field, &m);
}

static void put_sample(struct fmt *out, const struct profile_sample *s,
	struct buf *scratch, struct buf *inner)
{
	struct fmt m = into(scratch);

	put_numbers(&m, 1, s->location, s->nlocation);
	put_numbers(&m, 2, (const uint64_t *)s->value, s->nvalue);
	for (size_t i = 0; i < s->nlabel; i++) {
		const struct profile_label *l = &s->label[i];
		struct fmt lm = into(inner);

		wire_uint(&lm, 1, l->key);
		wire_uint(&lm, 2, l->str);
		wire_uint(&lm, 3, (uint64_t)l->num);
		wire_uint(&lm, 4, l->unit);
		put(&m, 3, &lm);
	}
	put(out, 2, &m);
}

static void put_mapping(
	struct fmt *out, const struct profile_mapping *mp, struct buf *scratch)
{
	const uint64_t v[] = {mp->id, mp->start, mp->limit, mp->offset,
		mp->file, mp->build_id, mp->has_functions, mp->has_filenames,
		mp->has_lines, mp->has_inlines};
	struct fmt m = into(scratch);

	for (unsigned i = 0; i < NELEM(v); i++)
		wire_uint(&m, i + 1, v[i]);
	put(out, 3, &m);
}

static void put_location(struct fmt *out, const struct profile_location *l,
	struct buf *scratch, struct buf *inner)
{
	struct fmt m = into(scratch);

	wire_uint(&m, 1, l->id);
	wire_uint(&m, 2, l->mapping);
	wire_uint(&m, 3, l->address);
	for (size_t i = 0; i < l->nline; i++) {
		struct fmt lm = into(inner);

		wire_uint(&lm, 1, l->line[i].function);
		wire_uint(&lm, 2, (uint64_t)l->line[i].line);
		wire_uint(&lm, 3, (uint64_t)l->line[i].column);
		put(&m, 4, &lm);
	}
	wire_uint(&m, 5, l->folded);
	put(out, 4, &m);
}

static void put_function(
	struct fmt *out, const struct profile_function *fn, struct buf *scratch)
{
	struct fmt m = into(scratch);

	wire_uint(&m, 1, fn->id);
	wire_uint(&m, 2, fn->name);
	wire_uint(&m, 3, fn->system_name);
	wire_uint(&m, 4, fn->file);
	wire_uint(&m, 5, (uint64_t)fn->start_line);
	put(out, 5, &m);
}

static void put_rest(
	struct fmt *out, const struct profile *p, struct buf *scratch)
{
	wire_uint(out, 7, p->drop_frames);
	wire_uint(out, 8, p->keep_frames);
	wire_uint(out, 9, (uint64_t)p->time_ns);
	wire_uint(out, 10, (uint64_t)p->duration_ns);
	put_type(out, 11, &p->period_type, scratch);
	wire_uint(out, 12, (uint64_t)p->period);
	put_numbers(out, 13, p->comment, p->ncomment);
	wire_uint(out, 14, p->default_type);
	wire_uint(out, 15, p->doc_url);
}

static void encode(const struct profile *p, struct fmt *out)
{
	struct buf scratch = {0}, inner = {0};

	for (size_t i = 0; i < p->ntype; i++)
		put_type(out, 1, &p->type[i], &scratch);
	for (size_t i = 0; i < p->nsample; i++)
		put_sample(out, &p->sample[i], &scratch, &inner);
	for (size_t i = 0; i < p->nmapping; i++)
		put_mapping(out, &p->mapping[i], &scratch);
	for (size_t i = 0; i < p->nlocation; i++)
		put_location(out, &p->location[i], &scratch, &inner);
	for (size_t i = 0; i < p->nfunction; i++)
		put_function(out, &p->function[i], &scratch);
	for (size_t i = 0; i < p->nstrings; i++)
		wire_bytes(out, 6, p->strings[i], strlen(p->strings[i]));
	put_rest(out, p, &scratch);
	buf_free(&scratch);
	buf_free(&inner);
}

void profile_write(const struct profile *p, struct buf *out)
{
	struct buf plain = {0};
	struct fmt f = into(&plain);
	z_stream z = {0};

	encode(p, &f);
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
		    Z_DEFAULT_STRATEGY) != Z_OK) {
		complain("zlib", "it can't be started");
		exit(STATUS_ERROR);
	}
	out->len = 0;
	z.next_in = (Bytef *)f.buf;
	z.avail_in = (uInt)f.len;
	z.avail_out = (uInt)deflateBound(&z, f.len);
	z.next_out = (Bytef *)buf_room(out, z.avail_out);
	deflate(&z, Z_FINISH);
	out->len = z.total_out;
	deflateEnd(&z);
	buf_free(&plain);
}
