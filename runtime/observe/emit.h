/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_EMIT_H
#define GOSTAT_OBSERVE_EMIT_H

/*
 * MemStats for people and programs: one table of figures, three spellings.
 * Everything writes through struct fmt, so to a buffer or a descriptor, and is
 * as async-signal-safe as that (2 KiB of stack at most).
 */

#include "base/fmt.h"
#include "gostat.h"

enum emit_kind {
	EMIT_U64,
	EMIT_U32,
	EMIT_F64,
	EMIT_BOOL,
	EMIT_RING,  /* PauseNs, PauseEnd: uint64_t[256], newest first in text */
	EMIT_BYSIZE /* BySize */
};

/* One field of struct gostat_memstats. */
struct emit_figure {
	const char *name; /* Go's */
	const char *unit; /* bytes, objects, ns, ... for people */
	const char *help; /* one sentence */
	enum emit_kind kind;
	uint32_t offset; /* in struct gostat_memstats */

	/* Prometheus; metric is NULL where Go's client has none. */
	const char *metric, *type;
	double scale; /* from the field's unit to the metric's */
};

/* In Go's order, which is that of text and json. */
extern const struct emit_figure emit_figures[];
extern const unsigned emit_nfigures;

/* What Prometheus shows next to MemStats. */
struct emit_env {
	int64_t gogc;	     /* percent; negative: off */
	int64_t memlimit;    /* bytes; INT64_MAX: none */
	unsigned threads;    /* of the program */
	unsigned gomaxprocs; /* CPUs that may be used */
};

/* Those of this process now; async-signal-safe. */
void emit_env_read(struct emit_env *env);

/* "Name = value" lines in Go's order; the caller writes the header line. */
void emit_text(struct fmt *f, const struct gostat_memstats *m);

/* What Go's encoding/json makes of the struct, to the byte; no newline. */
void emit_json(struct fmt *f, const struct gostat_memstats *m);

/*
 * The go_ families of Go's client library, today's and the two that it has
 * given up, sorted by name. openmetrics: in that format's spelling; the caller
 * ends the page with "# EOF\n".
 */
void emit_prometheus(struct fmt *f, const struct gostat_memstats *m,
	const struct emit_env *env, bool openmetrics);

/*
 * The HELP and TYPE lines of a family, for families of others. In OpenMetrics a
 * counter's name loses its _total there.
 */
void emit_family(struct fmt *f, const char *name, const char *type,
	const char *help, bool openmetrics);

#endif
