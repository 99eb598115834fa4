/* SPDX-License-Identifier: MIT */
/*
 * pprof: profile.proto as Go's runtime writes it, as a stream.
 *
 *	head      sample types, period, times, drop_frames
 *	samples   packed location ids and values, label bytes=SIZE
 *	locations address, mapping, lines where names are known
 *	functions
 *	mappings  main program first
 *	strings
 *
 * A protocol buffer's fields may come in any order, so samples go out first
 * and number the addresses they meet; what was numbered is listed behind them.
 * Working memory is these tables: about 44 bytes for each distinct address
 * plus the strings. The stack needs 5 KiB.
 *
 * Addresses: a stack holds return addresses, a location is the call, hence
 * one less. A call that never returns would otherwise belong to the function
 * behind it.
 *
 * Invariants:
 *   I1  string 0 is the empty string; ids of everything else begin at 1;
 *   I2  a mapping claims has_functions only if it has locations and all of
 *       them got names, because readers then skip their own symbolizer.
 *
 * Locks: none. When memory runs out the caller gets ENOMEM and throws away
 * what was written.
 *
 * Rejected: a protobuf library. protobuf-c allocates, nanopb fixes bounds at
 * build time; what is needed here are two wire types.
 */
#include "observe/pprof.h"
#include "observe/gzstore.h"
#include "observe/intern.h"
#include "observe/protowire.h"

#include <errno.h>
#include <string.h>

/* Field numbers of profile.proto. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE,
	PROFILE_MAPPING,
	PROFILE_LOCATION,
	PROFILE_FUNCTION,
	PROFILE_STRING,
	PROFILE_DROP_FRAMES,
	PROFILE_KEEP_FRAMES,
	PROFILE_TIME,
	PROFILE_DURATION,
	PROFILE_PERIOD_TYPE,
	PROFILE_PERIOD,
	PROFILE_COMMENT,
	PROFILE_DEFAULT_TYPE
};

/*
 * Frames from the innermost down to one of these are hidden by readers, where
 * they find names: the stack then begins where the program asked.
 */
static const char drop_frames[] =
	"malloc|calloc|realloc|reallocarray|memalign|aligned_alloc|"
	"posix_memalign|valloc|pvalloc|operator new.*";

/* What is known about the locations of one mapping. */
struct coverage {
	uint32_t locations, no_function, no_file, no_line;
};

struct writer {
	struct fmt *out;
	const struct pprof_options *o;
	struct intern strings, locations, functions;
	struct grow coverage; /* struct coverage[nmappings] */
	bool no_memory;
};

/* A string's number; 0 is "" (I1), and also what is left without memory. */
static uint64_t string(struct writer *w, const char *s)
{
	uint32_t id;

	if (!s || !*s)
		return 0;
	id = intern_id(&w->strings, s, strlen(s));
	w->no_memory |= !id;
	return id;
}

static void value_type(struct writer *w, unsigned field, const char *type,
	const char *unit)
{
	char buf[24];
	struct fmt m;

	fmt_init(&m, buf, sizeof(buf), -1);
	wire_uint(&m, 1, string(w, type));
	wire_uint(&m, 2, string(w, unit));
	wire_bytes(w->out, field, buf, m.len);
}

static void count_head(struct writer *w, const struct pprof_snapshot *s)
{
	value_type(w, PROFILE_PERIOD_TYPE, w->o->count->type, "count");
	wire_uint(w->out, PROFILE_PERIOD, 1);
	value_type(w, PROFILE_SAMPLE_TYPE, w->o->count->type, "count");
	wire_uint(w->out, PROFILE_TIME, (uint64_t)s->time_ns);
}

static void head(struct writer *w, const struct pprof_snapshot *s)
{
	value_type(w, PROFILE_PERIOD_TYPE, "space", "bytes");
	wire_uint(w->out, PROFILE_PERIOD, w->o->rate);
	value_type(w, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	value_type(w, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	value_type(w, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	value_type(w, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	if (w->o->allocs)
		wire_uint(w->out, PROFILE_DEFAULT_TYPE,
			string(w, "alloc_space"));
	wire_uint(w->out, PROFILE_TIME, (uint64_t)s->time_ns);
	wire_uint(w->out, PROFILE_DURATION, (uint64_t)s->duration_ns);
	wire_uint(w->out, PROFILE_DROP_FRAMES, string(w, drop_frames));
}

/* What makes a location: the same address can be in two modules in turn. */
struct place {
	uint64_t address, generation;
};

/* A stack's location ids, and the length of their varints. */
struct location_ids {
	size_t n, packed;
	uint32_t of[PPROF_DEPTH_MAX];
};

static void number_stack(struct writer *w, uint32_t stack,
	struct location_ids *ids)
{
	const struct pprof_count *count = w->o->count;
	bool own = count && count->frames;
	uintptr_t pc[PPROF_DEPTH_MAX];
	struct place p = {0};

	ids->n = own ? count->frames(count->arg, stack, pc, NELEM(pc))
		       : w->o->frames(stack, pc, NELEM(pc));
	ids->n = MIN(ids->n, NELEM(pc));
	ids->packed = 0;
	if (own)
		p.generation = count->generation;
	else if (w->o->generation)
		p.generation = w->o->generation(stack);
	for (size_t i = 0; i < ids->n; i++) {
		p.address = pc[i] - 1;
		ids->of[i] = intern_id(&w->locations, &p, sizeof(p));
		w->no_memory |= !ids->of[i];
		ids->packed += wire_varint_len(ids->of[i]);
	}
}

/* The labels of a sample, as they will stand in it. */
static void put_labels(struct writer *w, const struct pprof_bucket *b,
	struct fmt *out)
{
	const struct pprof_count *count = w->o->count;
	struct pprof_label label[PPROF_LABEL_MAX] = {
		{.key = "bytes", .number = b->size}};
	size_t n = b->size != 0;
	char buf[24];
	struct fmt m;

	if (count)
		n = count->labels ? count->labels(count->arg, b, label) : 0;
	for (size_t i = 0; i < n; i++) {
		fmt_init(&m, buf, sizeof(buf), -1);
		wire_uint(&m, 1, string(w, label[i].key));
		wire_uint(&m, 2, string(w, label[i].text));
		if (!label[i].text)
			wire_uint(&m, 3, label[i].number);
		wire_bytes(out, 3, buf, m.len);
	}
}

static void sample(struct writer *w, const struct pprof_bucket *b)
{
	const int64_t value[4] = {b->allocs, b->alloc_bytes, b->inuse,
		b->inuse_bytes};
	size_t nvalues = w->o->count ? 1 : NELEM(value), values = 0, size;
	char buf[PPROF_LABEL_MAX * 26];
	struct location_ids ids;
	struct fmt labels;

	number_stack(w, b->stack, &ids);
	for (size_t i = 0; i < nvalues; i++)
		values += wire_varint_len((uint64_t)value[i]);
	fmt_init(&labels, buf, sizeof(buf), -1);
	put_labels(w, b, &labels);
	size = values + 1 + wire_varint_len(values) + labels.len;
	size += ids.n ? ids.packed + 1 + wire_varint_len(ids.packed) : 0;

	wire_open(w->out, PROFILE_SAMPLE, size);
	if (ids.n)
		wire_open(w->out, 1, ids.packed);
	for (size_t i = 0; i < ids.n; i++)
		wire_varint(w->out, ids.of[i]);
	wire_open(w->out, 2, values);
	for (size_t i = 0; i < nvalues; i++)
		wire_varint(w->out, (uint64_t)value[i]);
	fmt_mem(w->out, buf, labels.len);
}

/* The mapping that a place belongs to, as an index; nmappings if none. */
static size_t mapping_of(const struct writer *w, const struct place *p)
{
	const struct pprof_mapping *m = w->o->mappings;
	size_t i;

	for (i = 0; i < w->o->nmappings; i++)
		if (m[i].start <= p->address && p->address < m[i].limit &&
			m[i].born <= p->generation && p->generation < m[i].died)
			break;
	return i;
}

static uint64_t function(struct writer *w, const struct pprof_line *line)
{
	uint32_t key[2] = {(uint32_t)string(w, line->function),
		(uint32_t)string(w, line->file)};
	uint32_t id = intern_id(&w->functions, key, sizeof(key));

	w->no_memory |= !id;
	return id;
}

static void put_line(struct writer *w, struct fmt *m,
	const struct pprof_line *line)
{
	char buf[24];
	struct fmt l;

	fmt_init(&l, buf, sizeof(buf), -1);
	wire_uint(&l, 1, function(w, line));
	wire_uint(&l, 2, line->line);
	wire_bytes(m, 4, buf, l.len);
}

static void location(struct writer *w, uint32_t id, const struct place *p)
{
	/* Lines are at most 26 bytes each, the rest 24. */
	char buf[PPROF_INLINE_MAX * 26 + 24];
	struct pprof_line line[PPROF_INLINE_MAX];
	size_t map = mapping_of(w, p), n = 0;
	struct coverage *c;
	struct fmt m;

	if (w->o->names)
		n = w->o->names(w->o->names_arg, p->address,
			(uint32_t)p->generation, line, NELEM(line));
	fmt_init(&m, buf, sizeof(buf), -1);
	wire_uint(&m, 1, id);
	wire_uint(&m, 2, map < w->o->nmappings ? map + 1 : 0);
	wire_uint(&m, 3, p->address);
	for (size_t i = 0; i < n; i++)
		put_line(w, &m, &line[i]);
	wire_bytes(w->out, PROFILE_LOCATION, buf, m.len);

	if (map == w->o->nmappings)
		return;
	c = (struct coverage *)w->coverage.p + map;
	c->locations++;
	c->no_function += n == 0;
	c->no_file += n == 0 || !line[0].file;
	c->no_line += n == 0 || !line[0].line;
}

static void locations(struct writer *w)
{
	struct place p;
	size_t len;

	if (w->o->nmappings &&
		!grow_add(&w->coverage,
			w->o->nmappings * sizeof(struct coverage)))
		w->no_memory = true;
	for (uint32_t id = 1; id <= w->locations.n && !w->no_memory; id++) {
		memcpy(&p, intern_key(&w->locations, id, &len), sizeof(p));
		location(w, id, &p);
	}
}

static void functions(struct writer *w)
{
	char buf[32];
	uint32_t key[2];
	struct fmt m;
	size_t len;

	for (uint32_t id = 1; id <= w->functions.n; id++) {
		memcpy(key, intern_key(&w->functions, id, &len), sizeof(key));
		fmt_init(&m, buf, sizeof(buf), -1);
		wire_uint(&m, 1, id);
		wire_uint(&m, 2, key[0]);
		wire_uint(&m, 3, key[0]);
		wire_uint(&m, 4, key[1]);
		wire_bytes(w->out, PROFILE_FUNCTION, buf, m.len);
	}
}

/* The number of a string of hexadecimal digits. */
static uint64_t hex_string(struct writer *w, const uint8_t *p, size_t n)
{
	char buf[2 * 32 + 1];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	for (size_t i = 0; i < n; i++)
		fmt_printf(&f, "%02x", p[i]);
	return string(w, fmt_cstr(&f));
}

static void mapping(struct writer *w, size_t i)
{
	const struct pprof_mapping *map = &w->o->mappings[i];
	const struct coverage *c = (struct coverage *)w->coverage.p + i;
	bool named = c->locations && !c->no_function; /* I2 */
	char buf[80];
	struct fmt m;

	fmt_init(&m, buf, sizeof(buf), -1);
	wire_uint(&m, 1, i + 1);
	wire_uint(&m, 2, map->start);
	wire_uint(&m, 3, map->limit);
	wire_uint(&m, 4, map->offset);
	wire_uint(&m, 5, string(w, map->file));
	wire_uint(&m, 6, hex_string(w, map->build_id, map->build_id_len));
	wire_uint(&m, 7, named);
	wire_uint(&m, 8, named && !c->no_file);
	wire_uint(&m, 9, named && !c->no_line);
	wire_uint(&m, 10, named && !c->no_line);
	wire_bytes(w->out, PROFILE_MAPPING, buf, m.len);
}

static void strings(struct writer *w)
{
	const char *s;
	size_t len;

	wire_open(w->out, PROFILE_STRING, 0);
	for (uint32_t id = 1; id <= w->strings.n; id++) {
		s = intern_key(&w->strings, id, &len);
		wire_bytes(w->out, PROFILE_STRING, s, len);
	}
}

int pprof_write(struct fmt *out, const struct pprof_snapshot *s,
	const struct pprof_options *o)
{
	struct writer w = {.out = out,
		.o = o,
		.strings = INTERN_INIT,
		.locations = INTERN_INIT,
		.functions = INTERN_INIT,
		.coverage = GROW_INIT(GIB)};

	if (o->count)
		count_head(&w, s);
	else
		head(&w, s);
	for (size_t i = 0; i < s->n; i++)
		sample(&w, &pprof_buckets(s)[i]);
	locations(&w);
	functions(&w);
	for (size_t i = 0; i < o->nmappings && !w.no_memory; i++)
		mapping(&w, i);
	strings(&w);

	intern_free(&w.strings);
	intern_free(&w.locations);
	intern_free(&w.functions);
	grow_free(&w.coverage);
	return w.no_memory ? ENOMEM : out->error;
}

int pprof_write_gz(struct fmt *out, const struct pprof_snapshot *s,
	const struct pprof_options *o)
{
	struct grow block = GROW_INIT(64 * KIB);
	struct gzstore gz;
	int error;

	if (!grow_room(&block, 64 * KIB))
		return ENOMEM;
	gzstore_begin(&gz, out, block.p, block.cap);
	error = pprof_write(&gz.in, s, o);
	gzstore_end(&gz);
	grow_free(&block);
	return error ? error : out->error;
}
