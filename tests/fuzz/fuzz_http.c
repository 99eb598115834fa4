/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target for the request parser: the same verdict in one piece and
 * in growing pieces, and every string inside the buffer and ended there.
 */
#include "observe/http.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(const char *s, const char *buf, size_t len)
{
	CHECK(s == strchr("", 0) || !*s || (s >= buf && s < buf + len));
	CHECK(!*s || memchr(s, '\0', (size_t)(buf + len - s)));
}

/* A copy of exactly len bytes, so that ASan sees one byte too many. */
static int parse(struct http_request *r, char **buf, const uint8_t *data,
	size_t len)
{
	*buf = malloc(len);
	memcpy(*buf, data, len);
	return http_parse(r, *buf, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request r, part;
	char *buf, *cut;
	int status = parse(&r, &buf, data, size);
	uint64_t v;

	CHECK(status == 0 || status == 200 || status == 400);
	if (status == 400)
		CHECK(r.error);
	if (status == 200) {
		CHECK(r.path[0] == '/');
		CHECK(r.head_len <= size && r.head_len <= HTTP_HEAD_MAX);
		CHECK(r.body_len <= HTTP_BODY_MAX);
		CHECK(r.nparams <= HTTP_PARAM_MAX);
		check_string(r.path, buf, r.head_len);
		for (unsigned i = 0; i < r.nparams; i++) {
			check_string(r.param[i].name, buf, r.head_len);
			check_string(r.param[i].value, buf, r.head_len);
			http_param_u64(&r, r.param[i].name, 0, 1000, &v);
		}
	}
	for (size_t n = 0; n <= size; n += 1 + n / 3) {
		int s = parse(&part, &cut, data, n);

		/* No verdict yet, or the final one; untouched until then. */
		CHECK(s == 0 || s == status);
		CHECK(s != 0 || n == 0 || !memcmp(cut, data, n));
		CHECK(s != 200 || part.head_len == r.head_len);
		free(cut);
	}
	free(buf);
	return 0;
}
