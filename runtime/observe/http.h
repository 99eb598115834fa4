/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_HTTP_H
#define GOSTAT_OBSERVE_HTTP_H

#include "base/fmt.h"

/*
 * The head of an HTTP/1.x request, bounded and parsed in place, and the head
 * of an answer. No allocation, no state. Context: anywhere.
 */
enum {
	HTTP_HEAD_MAX = 4096, /* bytes, with the empty line at the end */
	HTTP_BODY_MAX = 64,   /* bodies are numbers: "100", "512MiB" */
	HTTP_PARAM_MAX = 16,
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_OTHER };

struct http_request {
	enum http_method method;
	const char *path; /* decoded, begins with '/' */
	struct {
		const char *name, *value; /* decoded; value "" if no '=' */
	} param[HTTP_PARAM_MAX];
	unsigned nparams;
	bool openmetrics; /* preferred to text/plain by Accept */
	size_t head_len;  /* the body, if any, begins there */
	size_t body_len;  /* Content-Length */
	const char *error; /* one line, when http_parse() returned 400 */
};

/*
 * Look at the len bytes received so far.
 *
 * Returns 0 if more bytes are needed, 200 when the head is complete (the body
 * may still be missing), or 400. Only a complete head is modified: paths and
 * parameters are decoded where they stand, and r points at them.
 */
int http_parse(struct http_request *r, char *buf, size_t len);

/* The value of a query parameter, the first if repeated; NULL if not there. */
const char *http_param(const struct http_request *r, const char *name);

/*
 * A parameter as a number: fallback if it isn't there; false if it is there
 * and is not a decimal number up to max.
 */
bool http_param_u64(const struct http_request *r, const char *name,
	uint64_t fallback, uint64_t max, uint64_t *value);

/* "GET", …; "" for HTTP_OTHER. */
const char *http_method_name(enum http_method m);

/* "Not Found" for 404. */
const char *http_reason(int status);

/*
 * Status line and the fields that every answer has. extra: further fields,
 * each ended by CRLF, or NULL.
 */
void http_answer_head(struct fmt *f, int status, const char *type,
	uint64_t length, const char *extra);

#endif
