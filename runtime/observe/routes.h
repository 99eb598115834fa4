/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_ROUTES_H
#define GOSTAT_OBSERVE_ROUTES_H

#include "observe/http.h"
#include "observe/metrics.h"
#include "observe/pprof.h"

/*
 * One request on its way to an answer. Everything here runs on the helper
 * thread; a route prints its answer into out and sets status and type if they
 * are not those of plain text that is fine.
 */
enum { EXCHANGE_ANSWER_MAX = 512 << 20 }; /* bytes of one answer's body */

struct exchange {
	const struct http_request *req;
	const char *body; /* of the request, NUL-terminated */

	int status;
	const char *type; /* Content-Type */
	char extra[160];  /* further header fields, each ended by CRLF */
	struct grow answer;
	struct fmt out; /* prints into answer */

	const struct route *route; /* what follows is the route's own */
	int64_t again_ns, until_ns;
	unsigned step; /* 0 at the first call */
	void *state;
	void (*drop)(struct exchange *x); /* free state; may be NULL */
};

enum route_result {
	ROUTE_DONE,
	/*
	 * Call again at again_ns (monotonic). Meanwhile others are served. If
	 * the client leaves, drop() is called and nothing more.
	 */
	ROUTE_WAIT,
};

typedef enum route_result route_fn(struct exchange *x);

struct route {
	const char *path;
	uint8_t methods; /* bits 1 << enum http_method; GET brings HEAD */
	route_fn *fn;	 /* NULL: answers 501 */
	const char *help;
};

/* Prepare x, whose req and body are set, and hand it to its route. */
enum route_result routes_begin(struct exchange *x);

/* After ROUTE_WAIT, when again_ns has come. */
enum route_result routes_again(struct exchange *x);

/* Give back everything that x holds. */
void routes_end(struct exchange *x);

/*
 * Throw away what was printed and answer with a status and one line. For use
 * as "return route_error(x, 400, "no number");".
 */
enum route_result route_error(struct exchange *x, int status,
	const char *format, ...) PRINTF_LIKE(3, 4);

/*
 * Where figures come from that other modules have. They set their member at
 * start; NULL: not there, and routes that can't do without answer 501.
 */
struct sources {
	/* The heap profile's buckets now. 0 or an errno value. */
	int (*heap)(struct pprof_snapshot *s);

	/* As in struct pprof_options. */
	size_t (*frames)(uint32_t stack, uintptr_t *pc, size_t max);
	uint32_t (*generation)(uint32_t stack);
	pprof_names *names;

	/* Mean bytes between samples; bytes of the old value for PUT. */
	uint64_t (*profile_rate)(void);
	uint64_t (*set_profile_rate)(uint64_t rate);

	/*
	 * Append what is or was mapped and executable: struct pprof_mapping,
	 * the main program first. Strings stay valid for ever. False without
	 * memory.
	 */
	bool (*mappings)(struct grow *g);

	/* Cycles, pauses, leaks, samples, errors; size classes are filled in. */
	void (*metrics)(struct metrics *m);

	/* Set GOGC, negative is off; returns the old value. */
	int (*set_gogc)(int percent);

	/*
	 * Begin a full cycle, or join one that has not begun yet; what comes
	 * back is given to gc_done() until that says yes.
	 */
	uint64_t (*gc_start)(void);
	bool (*gc_done)(uint64_t ticket);
};

extern struct sources sources;

/* /proc/self/cmdline: the bytes read. */
size_t routes_cmdline(char *args, size_t cap);

/*
 * What every profile needs: addresses, names, and in maps what they lie in. 0,
 * or an errno value.
 */
int routes_places(struct pprof_options *o, struct grow *maps);

/* The answer is a file of this name, for browsers. */
void routes_attachment(struct exchange *x, const char *name);

/* The routes of routes_pprof.c, _trace.c, _gc.c and _threads.c. */
route_fn route_pprof_index, route_heap, route_cmdline, route_trace;
route_fn route_gc, route_leaks, route_goroutine, route_threadcreate;

/* The table, for the indexes; ends with a NULL path. */
extern const struct route routes[];

#endif
