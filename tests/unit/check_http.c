/* SPDX-License-Identifier: MIT */
/* The request parser on good, bad and cut-up requests. */
#include "observe/http.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define END " HTTP/1.1\r\nHost: gostat\r\n\r\n"

static struct http_request r;
static char buf[HTTP_HEAD_MAX + 1];

static int parse(const char *text)
{
	size_t len = strlen(text);

	ck_assert_uint_lt(len, sizeof(buf));
	memcpy(buf, text, len);
	return http_parse(&r, buf, len);
}

START_TEST(plain)
{
	static const char text[] = "GET /metrics" END;

	ck_assert_int_eq(parse(text), 200);
	ck_assert_int_eq(r.method, HTTP_GET);
	ck_assert_str_eq(r.path, "/metrics");
	ck_assert_uint_eq(r.nparams, 0);
	ck_assert_uint_eq(r.head_len, strlen(text));
	ck_assert_uint_eq(r.body_len, 0);
	ck_assert(!r.openmetrics);
	ck_assert_int_eq(parse("HEAD /" END), 200);
	ck_assert_int_eq(r.method, HTTP_HEAD);
	ck_assert_int_eq(parse("POST /gc" END), 200);
	ck_assert_int_eq(r.method, HTTP_POST);
	ck_assert_int_eq(parse("DELETE /gc" END), 200);
	ck_assert_int_eq(r.method, HTTP_OTHER);
	ck_assert_int_eq(parse("GETS /gc" END), 200);
	ck_assert_int_eq(r.method, HTTP_OTHER);
	/* By hand: bare line feeds, empty lines before, HTTP/1.0, no Host. */
	ck_assert_int_eq(parse("\r\n\nGET / HTTP/1.0\n\nrest"), 200);
	ck_assert_str_eq(r.path, "/");
	ck_assert_mem_eq(buf + r.head_len, "rest", 4);
	ck_assert_int_eq(parse("GET http://gostat/a?b=c" END), 200);
	ck_assert_str_eq(r.path, "/a");
	ck_assert_str_eq(http_param(&r, "b"), "c");
}
END_TEST

START_TEST(body)
{
	ck_assert_int_eq(parse("PUT /gogc HTTP/1.1\r\n"
			       "content-LENGTH: \t3 \r\n\r\n100"),
		200);
	ck_assert_int_eq(r.method, HTTP_PUT);
	ck_assert_uint_eq(r.body_len, 3);
	ck_assert_mem_eq(buf + r.head_len, "100", 3);
}
END_TEST

START_TEST(query)
{
	uint64_t v;

	ck_assert_int_eq(
		parse("GET /%64ebug/heap?gc=1&&seconds=%331&x&a+b=%26+%3d&y="
		      END),
		200);
	ck_assert_str_eq(r.path, "/debug/heap");
	ck_assert_uint_eq(r.nparams, 5);
	ck_assert_str_eq(http_param(&r, "gc"), "1");
	ck_assert_str_eq(http_param(&r, "x"), "");
	ck_assert_str_eq(http_param(&r, "y"), "");
	ck_assert_str_eq(http_param(&r, "a b"), "& =");
	ck_assert_ptr_null(http_param(&r, "z"));
	ck_assert(http_param_u64(&r, "seconds", 9, 100, &v));
	ck_assert_uint_eq(v, 31);
	ck_assert(http_param_u64(&r, "z", 9, 100, &v));
	ck_assert_uint_eq(v, 9);
	ck_assert(!http_param_u64(&r, "seconds", 9, 30, &v));
	ck_assert(!http_param_u64(&r, "x", 9, 30, &v));
	ck_assert(!http_param_u64(&r, "a b", 9, 30, &v));

	ck_assert_int_eq(parse("GET /?a=18446744073709551615"
			       "&b=18446744073709551616&c=-1" END),
		200);
	ck_assert(http_param_u64(&r, "a", 0, UINT64_MAX, &v));
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert(!http_param_u64(&r, "b", 0, UINT64_MAX, &v));
	ck_assert(!http_param_u64(&r, "c", 0, UINT64_MAX, &v));
}
END_TEST

START_TEST(accept)
{
	static const struct {
		const char *value;
		bool openmetrics;
	} cases[] = {
		{"application/openmetrics-text;version=1.0.0,application/"
		 "openmetrics-text;version=0.0.1;q=0.75,text/plain;version="
		 "0.0.4;q=0.5,*/*;q=0.1",
			true},
		{"text/plain;q=0.5, Application/OpenMetrics-Text ;q=0.51",
			true},
		{"application/openmetrics-text;q=0.4,text/*;q=0.6", false},
		{"application/openmetrics-text; charset=utf-8; q=0", false},
		{"application/openmetrics-text;q=0.001", true},
		{"text/plain", false},
		{"*/*", false},
		{"application/openmetrics-textual", false},
		{"application/openmetrics", false},
		{",,;q=1,;", false},
		{"", false},
	};
	char text[1000];

	for (size_t i = 0; i < NELEM(cases); i++) {
		struct fmt f;

		fmt_init(&f, text, sizeof(text), -1);
		fmt_printf(&f, "GET / HTTP/1.1\r\nAccept: %s\r\n\r\n",
			cases[i].value);
		ck_assert_int_eq(parse(fmt_cstr(&f)), 200);
		ck_assert_msg(r.openmetrics == cases[i].openmetrics, "%s",
			cases[i].value);
	}
	/* Two fields count like one list. */
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\nAccept: text/plain;q=0.1\r\n"
			       "ACCEPT: application/openmetrics-text\r\n\r\n"),
		200);
	ck_assert(r.openmetrics);
}
END_TEST

static const char *const bad[] = {
	"\x16\x03\x01",
	"GET\r\n\r\n",
	"GET /\r\n\r\n",
	"GET  / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1 \r\n\r\n",
	"GET / HTTP/2.0\r\n\r\n",
	"GET / HTTP/1.x\r\n\r\n",
	"GET / http/1.1\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\n",
	"GET metrics HTTP/1.1\r\n\r\n",
	"GET http://gostat HTTP/1.1\r\n\r\n",
	"GET https://gostat/ HTTP/1.1\r\n\r\n",
	"GET /#x HTTP/1.1\r\n\r\n",
	"GET /\x80 HTTP/1.1\r\n\r\n",
	"GET /\x7f HTTP/1.1\r\n\r\n",
	"GET /a\tb HTTP/1.1\r\n\r\n",
	"GET /%0 HTTP/1.1\r\n\r\n",
	"GET /% HTTP/1.1\r\n\r\n",
	"GET /%0g HTTP/1.1\r\n\r\n",
	"GET /%00 HTTP/1.1\r\n\r\n",
	"GET /?a=%0a HTTP/1.1\r\n\r\n",
	"GET /?%7f=1 HTTP/1.1\r\n\r\n",
	"GET /?a=%2 HTTP/1.1\r\n\r\n",
	"GET /?1&2&3&4&5&6&7&8&9&a&b&c&d&e&f&g&h HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nno colon\r\n\r\n",
	"GET / HTTP/1.1\r\n: empty\r\n\r\n",
	"GET / HTTP/1.1\r\nspace : x\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length:\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length: 65\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n",
	"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
};

START_TEST(refused)
{
	const char *text = bad[_i];

	ck_assert_msg(parse(text) == 400, "%s", text);
	ck_assert_ptr_nonnull(r.error);
	ck_assert_ptr_null(strchr(r.error, '\n'));
}
END_TEST

START_TEST(bounds)
{
	/* A head of exactly the limit is fine, one byte more is not. */
	static const char start[] = "GET / HTTP/1.1\r\nA: ";

	memset(buf, 'x', HTTP_HEAD_MAX);
	memcpy(buf, start, strlen(start));
	ck_assert_int_eq(http_parse(&r, buf, HTTP_HEAD_MAX - 1), 0);
	ck_assert_int_eq(http_parse(&r, buf, HTTP_HEAD_MAX), 400);
	memcpy(buf + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	ck_assert_int_eq(http_parse(&r, buf, HTTP_HEAD_MAX), 200);
	ck_assert_uint_eq(r.head_len, HTTP_HEAD_MAX);
	/* Bytes behind the limit do not matter. */
	memset(buf, 'x', HTTP_HEAD_MAX);
	memcpy(buf, start, strlen(start));
	memcpy(buf + HTTP_HEAD_MAX - 3, "\r\n\r\n", 4);
	ck_assert_int_eq(http_parse(&r, buf, HTTP_HEAD_MAX + 1), 400);
	ck_assert_int_eq(http_parse(&r, buf, 0), 0);
}
END_TEST

/* Byte by byte gives the same, and nothing is touched before the end. */
START_TEST(piecemeal)
{
	static const char text[] =
		"\r\nPUT /a%20b?c=%64&e HTTP/1.1\r\nHost: x\r\n"
		"Content-Length: 2\r\n\r\n";
	size_t len = strlen(text);

	memset(buf, '~', sizeof(buf));
	for (size_t n = 0; n < len; n++) {
		ck_assert_int_eq(http_parse(&r, buf, n), 0);
		ck_assert_mem_eq(buf, text, n);
		ck_assert_int_eq(buf[n], '~');
		buf[n] = text[n];
	}
	ck_assert_int_eq(http_parse(&r, buf, len), 200);
	ck_assert_str_eq(r.path, "/a b");
	ck_assert_str_eq(http_param(&r, "c"), "d");
	ck_assert_str_eq(http_param(&r, "e"), "");
	ck_assert_uint_eq(r.head_len, len);
}
END_TEST

START_TEST(answer)
{
	char text[500];
	struct fmt f;

	fmt_init(&f, text, sizeof(text), -1);
	http_answer_head(&f, 404, "text/plain", 7, NULL);
	ck_assert_str_eq(fmt_cstr(&f),
		"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"
		"Content-Length: 7\r\nX-Content-Type-Options: nosniff\r\n"
		"Connection: close\r\n\r\n");
	fmt_init(&f, text, sizeof(text), -1);
	http_answer_head(&f, 405, "a/b", 0, "Allow: GET\r\n");
	ck_assert_ptr_nonnull(strstr(fmt_cstr(&f), "\r\nAllow: GET\r\n"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	SRunner *sr;
	int failed;

	tcase_add_test(t, plain);
	tcase_add_test(t, body);
	tcase_add_test(t, query);
	tcase_add_test(t, accept);
	tcase_add_loop_test(t, refused, 0, (int)NELEM(bad));
	tcase_add_test(t, bounds);
	tcase_add_test(t, piecemeal);
	tcase_add_test(t, answer);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
