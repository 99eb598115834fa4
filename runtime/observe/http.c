/* SPDX-License-Identifier: MIT */
/*
 * http: one bounded request head, parsed where it lies.
 *
 *	GET /debug/pprof/heap?seconds=5&gc=1 HTTP/1.1 \r\n
 *	    ^path             ^name   ^value          Name: value \r\n
 *	                                              \r\n
 *
 * Strict where leniency is dangerous (control characters, folded lines, two
 * lengths, chunked bodies, NUL hidden behind a percent sign), lenient where
 * people type by hand (bare LF, no Host, an absolute URL). What is refused is
 * refused with 400 and one line that says why.
 *
 * Invariants:
 *   I1  no byte at or behind len is read or written;
 *   I2  buf is modified only once the whole head is there, so a request may
 *       come byte by byte;
 *   I3  decoding never lengthens, so each string is ended by a NUL that takes
 *       the place of its delimiter.
 *
 * Locks: none, no state.
 *
 * Rejected: picohttpparser and llhttp. They are fine, but most of what they
 * do (chunks, trailers, keep-alive) is what this server refuses.
 */
#include "observe/http.h"

#include <string.h>

static int refuse(struct http_request *r, const char *why)
{
	r->error = why;
	return 400;
}

static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Is the text from p to end equal to word (lower case), in any case? */
static bool same_word(const char *p, const char *end, const char *word)
{
	for (; p < end && *word; p++, word++)
		if (lower(*p) != *word)
			return false;
	return p == end && !*word;
}

static const char *trim_left(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

static const char *trim_right(const char *p, const char *end)
{
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return end;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Decode percent signs (and, in queries, plus signs) from p to end, and write
 * a NUL behind the result, at end at the latest. False on bad or hidden
 * control characters.
 */
static bool decode(char *p, char *end, bool plus)
{
	char *out = p;

	for (; p < end; p++) {
		char c = *p;

		if (c == '%') {
			int high = end - p > 2 ? hex(p[1]) : -1;
			int low = end - p > 2 ? hex(p[2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			if ((unsigned char)c < ' ' || c == 0x7f)
				return false;
			p += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		*out++ = c;
	}
	*out = '\0';
	return true;
}

/* The query from p to end; *end may be overwritten. */
static int parse_query(struct http_request *r, char *p, char *end)
{
	for (char *next; p < end; p = next + 1) {
		char *value;

		next = memchr(p, '&', (size_t)(end - p));
		next = next ? next : end;
		if (next == p)
			continue;
		if (r->nparams == HTTP_PARAM_MAX)
			return refuse(r, "too many query parameters");
		value = memchr(p, '=', (size_t)(next - p));
		if (value && !decode(value + 1, next, true))
			return refuse(r, "malformed query parameter");
		if (!decode(p, value ? value : next, true))
			return refuse(r, "malformed query parameter");
		r->param[r->nparams].name = p;
		r->param[r->nparams].value = value ? value + 1 : "";
		r->nparams++;
	}
	return 200;
}

/* The request target from p to end; *end may be overwritten. */
static int parse_target(struct http_request *r, char *p, char *end)
{
	static const char scheme[] = "http://";
	char *query;

	for (char *c = p; c < end; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return refuse(r, "malformed request target");
	if ((size_t)(end - p) >= strlen(scheme) &&
		same_word(p, p + strlen(scheme), scheme)) {
		p += strlen(scheme);
		p = memchr(p, '/', (size_t)(end - p));
	}
	if (!p || p == end || *p != '/')
		return refuse(r, "malformed request target");
	query = memchr(p, '?', (size_t)(end - p));
	if (query && parse_query(r, query + 1, end) != 200)
		return 400;
	if (!decode(p, query ? query : end, false))
		return refuse(r, "malformed request target");
	r->path = p;
	return 200;
}

/* METHOD SP target SP HTTP/1.x, from p to end; *end may be overwritten. */
static int parse_request_line(struct http_request *r, char *p, char *end)
{
	char *space = memchr(p, ' ', (size_t)(end - p)), *target, *version;

	if (!space)
		return refuse(r, "malformed request line");
	r->method = HTTP_GET;
	while (r->method < HTTP_OTHER) {
		const char *name = http_method_name(r->method);

		if ((size_t)(space - p) == strlen(name) &&
			!memcmp(p, name, strlen(name)))
			break;
		r->method++;
	}
	target = space + 1;
	version = memchr(target, ' ', (size_t)(end - target));
	if (!version)
		return refuse(r, "malformed request line");
	if (end - version != 9 || memcmp(version + 1, "HTTP/1.", 7) ||
		version[8] < '0' || version[8] > '9')
		return refuse(r, "not HTTP/1.1");
	return parse_target(r, target, version);
}

/* A quality value: thousandths, 1000 if there is none. */
static unsigned parse_quality(const char *p, const char *end)
{
	unsigned q = 0, weight = 1000;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		q = *p > '0' ? 1000 : 0;
	if (p < end && *p == '.')
		for (p++; p < end && *p >= '0' && *p <= '9'; p++) {
			weight /= 10;
			q += (unsigned)(*p - '0') * weight;
		}
	return MIN(q, 1000u);
}

struct accepted {
	unsigned openmetrics, text; /* thousandths */
};

/* One media range with its parameters, from p to end. */
static void accept_range(struct accepted *a, const char *p, const char *end)
{
	const char *semi = memchr(p, ';', (size_t)(end - p));
	const char *type_end = trim_right(p, semi ? semi : end);
	unsigned q = 1000;

	while (semi) {
		const char *s = trim_left(semi + 1, end);

		if (end - s > 2 && lower(s[0]) == 'q' && s[1] == '=')
			q = parse_quality(s + 2, end);
		semi = memchr(s, ';', (size_t)(end - s));
	}
	p = trim_left(p, type_end);
	if (same_word(p, type_end, "application/openmetrics-text"))
		a->openmetrics = MAX(a->openmetrics, q);
	else if (same_word(p, type_end, "text/plain") ||
		same_word(p, type_end, "text/*") ||
		same_word(p, type_end, "*/*"))
		a->text = MAX(a->text, q);
}

static void parse_accept(struct accepted *a, const char *p, const char *end)
{
	for (const char *comma; p < end; p = comma + 1) {
		comma = memchr(p, ',', (size_t)(end - p));
		comma = comma ? comma : end;
		accept_range(a, p, comma);
	}
}

/* known: what an earlier Content-Length said, or SIZE_MAX. */
static int parse_length(struct http_request *r, const char *p, const char *end,
	size_t *known)
{
	size_t n = 0;

	if (p == end)
		return refuse(r, "malformed Content-Length");
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return refuse(r, "malformed Content-Length");
		n = MIN(n * 10 + (size_t)(*p - '0'), (size_t)1 << 32);
	}
	if (*known != SIZE_MAX && *known != n)
		return refuse(r, "contradictory Content-Length");
	if (n > HTTP_BODY_MAX)
		return refuse(r, "request body larger than 64 bytes");
	*known = r->body_len = n;
	return 200;
}

struct fields {
	struct accepted accepted;
	size_t length; /* SIZE_MAX: not seen */
};

static int parse_field(struct http_request *r, struct fields *f,
	const char *line, const char *end)
{
	const char *colon = line, *value;

	while (colon < end && is_token((unsigned char)*colon))
		colon++;
	if (colon == line || colon == end || *colon != ':')
		return refuse(r, "malformed header field");
	value = trim_left(colon + 1, end);
	end = trim_right(value, end);
	for (const char *c = value; c < end; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return refuse(r, "malformed header field");
	if (same_word(line, colon, "content-length"))
		return parse_length(r, value, end, &f->length);
	if (same_word(line, colon, "transfer-encoding"))
		return refuse(r, "Transfer-Encoding is not supported");
	if (same_word(line, colon, "accept"))
		parse_accept(&f->accepted, value, end);
	return 200;
}

/*
 * The end of the line that starts at p: its LF, or NULL if it isn't there. The
 * line without CR is [p, *text_end).
 */
static char *line_end(char *p, char *end, char **text_end)
{
	char *lf = memchr(p, '\n', (size_t)(end - p));

	*text_end = lf && lf > p && lf[-1] == '\r' ? lf - 1 : lf;
	return lf;
}

/* The length of a complete head, 0 if its empty line isn't there yet. */
static size_t head_length(char *start, char *end)
{
	char *text_end;

	for (char *p = start, *lf; (lf = line_end(p, end, &text_end));
		p = lf + 1)
		if (text_end == p)
			return (size_t)(lf + 1 - start);
	return 0;
}

static int parse_head(struct http_request *r, char *p, char *end)
{
	struct fields f = {.length = SIZE_MAX};
	char *text_end, *lf = line_end(p, end, &text_end);
	int status = parse_request_line(r, p, text_end);

	while (status == 200) {
		p = lf + 1;
		lf = line_end(p, end, &text_end);
		if (text_end == p)
			break;
		status = parse_field(r, &f, p, text_end);
	}
	r->openmetrics = f.accepted.openmetrics &&
		f.accepted.openmetrics >= f.accepted.text;
	return status;
}

int http_parse(struct http_request *r, char *buf, size_t len)
{
	char *start = buf, *end = buf + MIN(len, (size_t)HTTP_HEAD_MAX);
	size_t n;

	*r = (struct http_request){.method = HTTP_OTHER, .path = ""};
	/* Empty lines before a request are allowed. */
	while (start < end && (*start == '\r' || *start == '\n'))
		start++;
	/* Say no to TLS and the like at once, not when they time out. */
	if (start < end && !is_token((unsigned char)*start))
		return refuse(r, "not HTTP");
	n = head_length(start, end);
	if (n) {
		r->head_len = (size_t)(start - buf) + n;
		return parse_head(r, start, start + n);
	}
	if (len >= HTTP_HEAD_MAX)
		return refuse(r, "request head larger than 4096 bytes");
	return 0;
}

const char *http_param(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->nparams; i++)
		if (!strcmp(r->param[i].name, name))
			return r->param[i].value;
	return NULL;
}

bool http_param_u64(const struct http_request *r, const char *name,
	uint64_t fallback, uint64_t max, uint64_t *value)
{
	const char *p = http_param(r, name);
	uint64_t n = 0;

	*value = fallback;
	if (!p)
		return true;
	if (!*p)
		return false;
	for (; *p; p++)
		if (*p < '0' || *p > '9' ||
			__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, *p - '0', &n) || n > max)
			return false;
	*value = n;
	return true;
}

const char *http_method_name(enum http_method m)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "PUT", ""};

	return names[m];
}

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{200, "OK"},
		{301, "Moved Permanently"},
		{400, "Bad Request"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
	};

	for (size_t i = 0; i < NELEM(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

void http_answer_head(struct fmt *f, int status, const char *type,
	uint64_t length, const char *extra)
{
	fmt_printf(f,
		"HTTP/1.1 %d %s\r\n"
		"Content-Type: %s\r\n"
		"Content-Length: %lu\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"%s"
		"Connection: close\r\n\r\n",
		status, http_reason(status), type, length, extra ? extra : "");
}
