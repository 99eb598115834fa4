/* SPDX-License-Identifier: MIT */
/*
 * json: strings for JSON. The rest of it needs no code.
 *
 * Arguments and file names are bytes, JSON is Unicode. What is valid UTF-8
 * goes through, what is not (overlong forms, surrogates, what lies beyond
 * U+10FFFF) becomes U+FFFD byte by byte.
 */
#include "base/json.h"

/* The length of the UTF-8 sequence at s, 0 if it isn't one. */
static size_t utf8(const unsigned char *s, size_t n)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80	    ? 1
		: s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		: s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		: s[0] >= 0xf0 && s[0] < 0xf5 ? 4
					      : 0;
	uint32_t c = len > 1 ? s[0] & (0x7fu >> len) : s[0];

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (c < smallest[len] || c > 0x10ffff ||
			(c >= 0xd800 && c < 0xe000)))
		return 0;
	return len;
}

static void escape(struct fmt *f, unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		fmt_char(f, '\\');
		fmt_char(f, (char)c);
		break;
	case '\n':
		fmt_str(f, "\\n");
		break;
	case '\r':
		fmt_str(f, "\\r");
		break;
	case '\t':
		fmt_str(f, "\\t");
		break;
	default:
		fmt_printf(f, "\\u%04x", (unsigned)c);
	}
}

/* A character that stands for itself. */
static bool plain(unsigned char c)
{
	return c >= ' ' && c < 0x80 && c != '"' && c != '\\' && c != '<' &&
		c != '>' && c != '&';
}

void json_string(struct fmt *f, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	fmt_char(f, '"');
	for (size_t len; n; p += len, n -= len) {
		for (len = 0; len < n && plain(p[len]);)
			len++;
		if (len) {
			fmt_mem(f, p, len);
			continue;
		}
		len = utf8(p, n);
		if (!len) {
			fmt_str(f, "\\ufffd");
			len = 1;
		} else if (len == 1) {
			escape(f, *p);
		} else if (len == 3 && p[0] == 0xe2 && p[1] == 0x80 &&
			(p[2] & 0xfe) == 0xa8) {
			/* Line separators, which JavaScript stumbles over. */
			fmt_printf(f, "\\u202%x", (unsigned)(p[2] & 15));
		} else {
			fmt_mem(f, p, len);
		}
	}
	fmt_char(f, '"');
}
