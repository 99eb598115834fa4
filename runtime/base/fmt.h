/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_FMT_H
#define GOSTAT_BASE_FMT_H

#include "base/attrs.h"

#include <stdarg.h>

/*
 * Bounded formatting without stdio: into a buffer, or through a buffer to a
 * descriptor. No allocation, no locale, no errno, async-signal-safe.
 *
 * With fd >= 0 a full buffer is written out; the first failed write is kept in
 * error and everything after it is dropped. With fd < 0 a full buffer is
 * offered to the hook full(), which makes room (by draining or by enlarging
 * it) and returns true; without a hook, or when it returns false, what does
 * not fit is dropped and truncated is set.
 */
struct fmt {
	char *buf;
	size_t cap;
	size_t len;    /* bytes in buf */
	int fd;	       /* -1: buffer only */
	int error;     /* errno value of the first failed write, or 0 */
	bool truncated;
	uint64_t total; /* bytes written to fd so far */
	bool (*full)(struct fmt *f);
	void *full_arg; /* for the hook's use */
};

void fmt_init(struct fmt *f, char *buf, size_t cap, int fd);

/* Write out what is buffered. 0, or the errno value of the first failure. */
int fmt_flush(struct fmt *f);

/* NUL-terminate (within cap) and return buf; for buffer-only use. */
char *fmt_cstr(struct fmt *f);

void fmt_mem(struct fmt *f, const void *p, size_t n);
void fmt_str(struct fmt *f, const char *s);
void fmt_char(struct fmt *f, char c);
void fmt_u64(struct fmt *f, uint64_t v);
void fmt_i64(struct fmt *f, int64_t v);
void fmt_hex(struct fmt *f, uint64_t v); /* lower case, no prefix */

/*
 * The shortest decimal that reads back as v, in the spelling of Go's
 * strconv.FormatFloat(v, 'g', -1, 64): exponent form for exponents below -4 or
 * above 5, with at least two exponent digits; "+Inf", "-Inf", "NaN". This is
 * what Prometheus' text format shows.
 *
 * fmt_f64_json: the same digits as Go's encoding/json (and JavaScript) spell
 * them: exponent form below 1e-6 and from 1e21, no padding of the exponent. v
 * must be finite, JSON has no other numbers.
 */
void fmt_f64(struct fmt *f, double v);
void fmt_f64_json(struct fmt *f, double v);

/* 2025-11-20T20:10:00Z; seconds since 1970, not negative. */
void fmt_utc(struct fmt *f, int64_t seconds);

/*
 * printf subset: %d %i %u %x %c %s %p %% with l, ll, z, field width, '-', '0',
 * and precision for %s (also '*').
 */
void fmt_printf(struct fmt *f, const char *format, ...) PRINTF_LIKE(2, 3);
void fmt_vprintf(struct fmt *f, const char *format, va_list ap);

#endif
