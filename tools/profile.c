/* SPDX-License-Identifier: MIT */
/*
 * profile: the reader of profile.proto.
 *
 *	gzip ──▶ fields of Profile ──▶ fields of Sample, Location, ... ──▶ check
 *
 * A protocol buffer is a list of (number, value) in any order, where a value
 * is a varint, 4 or 8 bytes, or a run of bytes that may be a message again.
 * Numbers that are not known are skipped, as the format demands. Repeated
 * numbers may come packed in a run or one by one, so both are read.
 *
 * The input may be anything, so every length is checked against what is there,
 * and references are checked at the end, once, so that nobody else has to.
 *
 * Rejected: protobuf-c, a generator and a dependency for what is a loop over
 * varints here.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* What is left of a message. */
struct wire {
	const unsigned char *p, *end;
	bool broken;
};

struct field {
	unsigned number;
	bool is_run; /* bytes; else value */
	uint64_t value;
	struct wire run;
};

static uint64_t varint(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned shift = 0; w->p < w->end && shift < 70; shift += 7) {
		unsigned char c = *w->p++;

		if (shift < 64)
			v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	w->broken = true;
	return 0;
}

static bool skip(struct wire *w, uint64_t n)
{
	if (n > (size_t)(w->end - w->p)) {
		w->broken = true;
		return false;
	}
	w->p += n;
	return true;
}

/* The next field that is a varint or a run; false at the end. */
static bool next(struct wire *w, struct field *f)
{
	while (w->p < w->end && !w->broken) {
		uint64_t key = varint(w), n;

		f->number = (unsigned)(key >> 3);
		f->is_run = (key & 7) == 2;
		switch (key & 7) {
		case 0:
			f->value = varint(w);
			return !w->broken;
		case 1:
			skip(w, 8);
			break;
		case 2:
			n = varint(w);
			f->run = (struct wire){w->p, w->p + n, false};
			return !w->broken && skip(w, n);
		case 5:
			skip(w, 4);
			break;
		default:
			w->broken = true;
		}
	}
	return false;
}

/* A repeated number: one, or a packed run of them. */
static void numbers(struct wire *w, struct field *f, uint64_t **to, size_t *n)
{
	do {
		uint64_t v = f->is_run ? 0 : f->value;

		if (f->is_run) {
			if (f->run.p == f->run.end)
				return;
			v = varint(&f->run);
			w->broken |= f->run.broken;
		}
		*to = mem_grow(*to, *n, sizeof(**to));
		(*to)[(*n)++] = v;
	} while (f->is_run && !f->run.broken);
}

#define APPEND(array, count)                                                   \
	(array = mem_grow(array, count, sizeof(*array)),                       \
		memset(&array[count], 0, sizeof(*array)), &array[count++])

static struct profile_type read_type(struct wire *w)
{
	struct profile_type t = {0};
	struct field f;

	while (next(w, &f))
		if (f.number == 1 && !f.is_run)
			t.type = f.value;
		else if (f.number == 2 && !f.is_run)
			t.unit = f.value;
	return t;
}

static void read_label(struct wire *w, struct profile_label *l)
{
	struct field f;

	while (next(w, &f))
		switch (f.is_run ? 0 : f.number) {
		case 1:
			l->key = f.value;
			break;
		case 2:
			l->str = f.value;
			break;
		case 3:
			l->num = (int64_t)f.value;
			break;
		case 4:
			l->unit = f.value;
		}
}

static void read_sample(struct wire *w, struct profile_sample *s)
{
	struct field f;

	while (next(w, &f))
		switch (f.number) {
		case 1:
			numbers(w, &f, &s->location, &s->nlocation);
			break;
		case 2:
			numbers(w, &f, (uint64_t **)&s->value, &s->nvalue);
			break;
		case 3:
			if (f.is_run)
				read_label(&f.run, APPEND(s->label, s->nlabel));
			w->broken |= f.is_run && f.run.broken;
		}
}

static void read_mapping(struct wire *w, struct profile_mapping *m)
{
	struct field f;

	while (next(w, &f)) {
		uint64_t *const to[] = {NULL, &m->id, &m->start, &m->limit,
			&m->offset, &m->file, &m->build_id};
		bool *const flag[] = {&m->has_functions, &m->has_filenames,
			&m->has_lines, &m->has_inlines};

		if (f.is_run || !f.number || f.number > 10)
			continue;
		if (f.number < NELEM(to))
			*to[f.number] = f.value;
		else
			*flag[f.number - NELEM(to)] = f.value;
	}
}

static void read_line(struct wire *w, struct profile_line *l)
{
	struct field f;

	while (next(w, &f))
		switch (f.is_run ? 0 : f.number) {
		case 1:
			l->function = f.value;
			break;
		case 2:
			l->line = (int64_t)f.value;
			break;
		case 3:
			l->column = (int64_t)f.value;
		}
}

static void read_location(struct wire *w, struct profile_location *l)
{
	struct field f;

	while (next(w, &f))
		if (f.number == 4 && f.is_run) {
			read_line(&f.run, APPEND(l->line, l->nline));
			w->broken |= f.run.broken;
		} else if (!f.is_run) {
			switch (f.number) {
			case 1:
				l->id = f.value;
				break;
			case 2:
				l->mapping = f.value;
				break;
			case 3:
				l->address = f.value;
				break;
			case 5:
				l->folded = f.value;
			}
		}
}

static void read_function(struct wire *w, struct profile_function *fn)
{
	struct field f;

	while (next(w, &f)) {
		uint64_t *const to[] = {NULL, &fn->id, &fn->name,
			&fn->system_name, &fn->file,
			(uint64_t *)&fn->start_line};

		if (!f.is_run && f.number && f.number < NELEM(to))
			*to[f.number] = f.value;
	}
}

static void read_run(struct profile *p, unsigned number, struct wire *run)
{
	switch (number) {
	case 1:
		*APPEND(p->type, p->ntype) = read_type(run);
		break;
	case 2:
		read_sample(run, APPEND(p->sample, p->nsample));
		break;
	case 3:
		read_mapping(run, APPEND(p->mapping, p->nmapping));
		break;
	case 4:
		read_location(run, APPEND(p->location, p->nlocation));
		break;
	case 5:
		read_function(run, APPEND(p->function, p->nfunction));
		break;
	case 6:
		*APPEND(p->strings, p->nstrings) = mem_copy_n(
			(const char *)run->p, (size_t)(run->end - run->p));
		break;
	case 11:
		p->period_type = read_type(run);
	}
}

static bool read_profile(struct profile *p, struct wire *w)
{
	struct field f;

	while (next(w, &f)) {
		uint64_t *const to[] = {&p->drop_frames, &p->keep_frames,
			(uint64_t *)&p->time_ns, (uint64_t *)&p->duration_ns,
			NULL, (uint64_t *)&p->period, NULL, &p->default_type,
			&p->doc_url};

		if (f.number == 13)
			numbers(w, &f, &p->comment, &p->ncomment);
		else if (f.is_run)
			read_run(p, f.number, &f.run);
		else if (f.number >= 7 && f.number < 7 + NELEM(to) &&
			 to[f.number - 7])
			*to[f.number - 7] = f.value;
		if (f.is_run && f.run.broken)
			return false;
	}
	return !w->broken;
}

/* Ids are usually 1, 2, 3, ...; else they are looked for in a sorted copy. */
struct ids {
	uint64_t *of;
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool known(const struct ids *ids, uint64_t id)
{
	if (id && id <= ids->n && ids->of[id - 1] == id)
		return true;
	return id && ids->n &&
	       bsearch(&id, ids->of, ids->n, sizeof(id), by_value);
}

#define IDS(array, count)                                                      \
	({                                                                     \
		struct ids all = {mem_zero(count, sizeof(uint64_t)), count};   \
		for (size_t k = 0; k < (count); k++)                           \
			all.of[k] = (array)[k].id;                             \
		qsort(all.of, all.n, sizeof(uint64_t), by_value);              \
		all;                                                           \
	})

static bool strings_exist(const struct profile *p)
{
	uint64_t top = 0;

#define TOP(x) (top = MAX(top, (uint64_t)(x)))
	TOP(p->drop_frames), TOP(p->keep_frames), TOP(p->default_type);
	TOP(p->doc_url), TOP(p->period_type.type), TOP(p->period_type.unit);
	for (size_t i = 0; i < p->ntype; i++)
		TOP(p->type[i].type), TOP(p->type[i].unit);
	for (size_t i = 0; i < p->ncomment; i++)
		TOP(p->comment[i]);
	for (size_t i = 0; i < p->nmapping; i++)
		TOP(p->mapping[i].file), TOP(p->mapping[i].build_id);
	for (size_t i = 0; i < p->nfunction; i++)
		TOP(p->function[i].name), TOP(p->function[i].system_name),
			TOP(p->function[i].file);
	for (size_t i = 0; i < p->nsample; i++)
		for (size_t j = 0; j < p->sample[i].nlabel; j++) {
			const struct profile_label *l = &p->sample[i].label[j];

			TOP(l->key), TOP(l->str), TOP(l->unit);
		}
#undef TOP
	return top < p->nstrings && !*p->strings[0];
}

static bool samples_fit(const struct profile *p, const struct ids *locations)
{
	for (size_t i = 0; i < p->nsample; i++) {
		const struct profile_sample *s = &p->sample[i];

		if (s->nvalue != p->ntype)
			return false;
		for (size_t j = 0; j < s->nlocation; j++)
			if (!known(locations, s->location[j]))
				return false;
	}
	return true;
}

static bool references_exist(const struct profile *p)
{
	struct ids locations = IDS(p->location, p->nlocation);
	struct ids mappings = IDS(p->mapping, p->nmapping);
	struct ids functions = IDS(p->function, p->nfunction);
	bool fine = samples_fit(p, &locations);

	for (size_t i = 0; i < p->nlocation && fine; i++) {
		const struct profile_location *l = &p->location[i];

		fine = !l->mapping || known(&mappings, l->mapping);
		for (size_t j = 0; j < l->nline && fine; j++)
			fine = !l->line[j].function ||
			       known(&functions, l->line[j].function);
	}
	free(locations.of);
	free(mappings.of);
	free(functions.of);
	return fine;
}

/* All members of a gzip file; false: it is damaged or cut off. */
static bool gunzip(const void *data, size_t n, struct buf *out)
{
	enum { STEP = 1 << 18, LIMIT = 1 << 30 };
	z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)n};
	int ret = Z_OK;

	if (n > LIMIT || inflateInit2(&z, 15 + 16) != Z_OK)
		return false;
	while (ret == Z_OK && out->len < LIMIT) {
		z.next_out = (Bytef *)buf_room(out, STEP);
		z.avail_out = STEP;
		ret = inflate(&z, Z_NO_FLUSH);
		out->len += STEP - z.avail_out;
		if (ret == Z_STREAM_END && z.avail_in)
			ret = inflateReset(&z);
	}
	inflateEnd(&z);
	return ret == Z_STREAM_END;
}

bool profile_read(
	struct profile *p, const void *data, size_t n, const char **why)
{
	struct buf plain = {0};
	struct wire w = {data, (const unsigned char *)data + n, false};

	*p = (struct profile){.type = NULL};
	*why = NULL;
	if (n >= 2 && !memcmp(data, "\x1f\x8b", 2)) {
		if (!gunzip(data, n, &plain))
			*why = "the gzip file is damaged";
		w.p = (const unsigned char *)plain.data;
		w.end = w.p + plain.len;
	}
	if (!*why && (!read_profile(p, &w) || !p->ntype))
		*why = "it is no profile";
	if (!*why && !(p->nstrings && strings_exist(p) && references_exist(p)))
		*why = "the profile refers to what it does not contain";
	buf_free(&plain);
	if (*why)
		profile_free(p);
	return !*why;
}

void profile_free(struct profile *p)
{
	for (size_t i = 0; i < p->nsample; i++) {
		free(p->sample[i].location);
		free(p->sample[i].value);
		free(p->sample[i].label);
	}
	for (size_t i = 0; i < p->nlocation; i++)
		free(p->location[i].line);
	for (size_t i = 0; i < p->nstrings; i++)
		free(p->strings[i]);
	free(p->type);
	free(p->sample);
	free(p->mapping);
	free(p->location);
	free(p->function);
	free(p->strings);
	free(p->comment);
	*p = (struct profile){.type = NULL};
}

const char *profile_text(const struct profile *p, uint64_t string)
{
	return string < p->nstrings ? p->strings[string] : "";
}
