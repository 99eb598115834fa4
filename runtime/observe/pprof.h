/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_PPROF_H
#define GOSTAT_OBSERVE_PPROF_H

#include "base/fmt.h"
#include "os/grow.h"

/*
 * Profiles in the two formats that Go writes: profile.proto and the
 * legacy text. Take a snapshot of the sampler's buckets, scale it, write it:
 *
 *	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
 *	pprof_take(&s, next, cursor);
 *	pprof_scale(&s, rate);
 *	pprof_write_gz(out, &s, &opts);
 *	pprof_free(&s);
 *
 * Context: anywhere, signal handlers included, if next() may run there.
 * Working memory is mapped for the occasion, never taken from the heap.
 * Functions that return int give 0 or an errno value (ENOMEM, or what the
 * output reports).
 */

/* One bucket: blocks of one size that were allocated with one stack. */
struct pprof_bucket {
	uint64_t id;	/* the same in every snapshot of this process */
	uint32_t stack; /* for pprof_options.frames */
	uint64_t size;	/* of one block, in bytes */
	int64_t allocs, alloc_bytes;
	int64_t inuse, inuse_bytes;
};

struct pprof_snapshot {
	struct grow mem;      /* struct pprof_bucket[n] */
	size_t n;
	int64_t time_ns;      /* Unix time when it was taken */
	int64_t duration_ns;  /* of a difference, else 0 */
};

/* A million distinct buckets are 64 MB; beyond 16 million, ENOMEM. */
#define PPROF_SNAPSHOT_INIT {.mem = GROW_INIT(GIB)}

static inline struct pprof_bucket *pprof_buckets(const struct pprof_snapshot *s)
{
	return (struct pprof_bucket *)s->mem.p;
}

/* Fills in the next bucket, or returns false after the last one. */
typedef bool pprof_next(void *cursor, struct pprof_bucket *b);

int pprof_take(struct pprof_snapshot *s, pprof_next *next, void *cursor);

void pprof_free(struct pprof_snapshot *s);

/*
 * From what was sampled to what probably happened: a block of size x is
 * sampled with probability 1 - exp(-x/rate), so divide by that. Counts of a
 * rate of 0 or 1 are exact already.
 */
void pprof_scale(struct pprof_snapshot *s, uint64_t rate);

/*
 * s becomes s minus old (both scaled, or neither); buckets that did not change
 * go away. Sorts both by id.
 */
void pprof_subtract(struct pprof_snapshot *s, struct pprof_snapshot *old);

/* Largest inuse_bytes first, as Go's text form has it. */
void pprof_sort(struct pprof_snapshot *s);

/* 1 - exp(-x) for x >= 0, to the last few bits. */
double pprof_miss(double x);

/*
 * A part of the address space that a file is mapped to, or was. Where modules
 * came and went, an address is looked up among those of the stack's generation:
 * born <= generation < died.
 */
struct pprof_mapping {
	uintptr_t start, limit;
	uint64_t offset;
	const char *file;
	const uint8_t *build_id;
	uint8_t build_id_len; /* bytes, at most 32; 0: none */
	uint32_t born, died;
};

/* One source position; several when calls were inlined there. */
struct pprof_line {
	const char *function, *file; /* file may be NULL */
	uint64_t line;		     /* 0: not known */
};

enum {
	PPROF_INLINE_MAX = 32,
	PPROF_DEPTH_MAX = 1024, /* frames of one stack */
};

/*
 * Names for an address (of the call, not of its return) in a stack of that
 * generation: fills in up to max lines, innermost first, and returns how many.
 * The strings are copied.
 */
typedef size_t pprof_names(void *arg, uintptr_t address, uint32_t generation,
	struct pprof_line *line, size_t max);

/* What a sample is tagged with: text, or a number when that is NULL. */
struct pprof_label {
	const char *key, *text;
	uint64_t number;
};

enum { PPROF_LABEL_MAX = 4 };

/*
 * A profile that only counts (threads, say): one value a sample, its allocs.
 * Where frames is set, stacks are its own numbers and all of one generation,
 * and those of struct pprof_options are not asked. arg is handed through.
 */
struct pprof_count {
	const char *type; /* "goroutine" */
	const void *arg;

	size_t (*frames)(const void *arg, uint32_t stack, uintptr_t *pc,
		size_t max);

	/* Fills in at most PPROF_LABEL_MAX labels; may be NULL. */
	size_t (*labels)(const void *arg, const struct pprof_bucket *b,
		struct pprof_label *label);

	uint32_t generation;
};

struct pprof_options {
	uint64_t rate;
	bool allocs; /* show alloc_space at first, not inuse_space */

	/*
	 * Return addresses of a stack, innermost first: copies at most max of
	 * them and returns how many there are. And its generation; NULL: all
	 * stacks are of generation 0.
	 */
	size_t (*frames)(uint32_t stack, uintptr_t *pc, size_t max);
	uint32_t (*generation)(uint32_t stack);

	const struct pprof_mapping *mappings; /* the main program first */
	size_t nmappings;
	pprof_names *names; /* NULL: addresses only */
	void *names_arg;

	const struct pprof_count *count; /* NULL: a heap profile */
};

/* profile.proto, plain; readers accept that too. */
int pprof_write(struct fmt *out, const struct pprof_snapshot *s,
	const struct pprof_options *o);

/* profile.proto in gzip. */
int pprof_write_gz(struct fmt *out, const struct pprof_snapshot *s,
	const struct pprof_options *o);

/*
 * The text that Go serves with debug=1, of an unscaled snapshot; trailer, if
 * any, prints the MemStats as comments. Sorts s.
 */
int pprof_write_text(struct fmt *out, struct pprof_snapshot *s,
	const struct pprof_options *o, void (*trailer)(struct fmt *));

/* What is mapped where, a line each, in the format of /proc/PID/maps. */
void pprof_write_maps(struct fmt *out, const struct pprof_options *o);

#endif
