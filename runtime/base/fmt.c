/* SPDX-License-Identifier: MIT */
/*
 * fmt: numbers and strings into a bounded buffer or a descriptor.
 *
 * stdio is out of the question here: it allocates, takes locks, knows locales
 * and is not async-signal-safe. The subset is what this library prints.
 *
 * Invariants:
 *   I1  f->len <= f->cap;
 *   I2  after the first failed write nothing more is written (no half lines
 *       in the middle of a file);
 *   I3  the hook full() leaves room for at least one byte when it succeeds.
 */
#include "base/fmt.h"
#include "base/syscall.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

void fmt_init(struct fmt *f, char *buf, size_t cap, int fd)
{
	*f = (struct fmt){.buf = buf, .cap = cap, .fd = fd};
}

/*
 * Somebody has made the descriptor non-blocking, for everybody who shares it.
 * False when there is no room for a second.
 */
static bool wait_writable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	long n = sys3(SYS_poll, &p, 1, 1000);

	return n == -EINTR || n > 0;
}

int fmt_flush(struct fmt *f)
{
	size_t done = 0;

	if (f->fd < 0)
		return f->error;
	while (!f->error && done < f->len) {
		/* libc's write() is a cancellation point. */
		long n = sys3(SYS_write, f->fd, f->buf + done, f->len - done);

		if (!sys_failed(n))
			done += (size_t)n;
		else if (n != -EINTR && (n != -EAGAIN || !wait_writable(f->fd)))
			f->error = (int)-n;
	}
	f->total += done;
	f->len = 0;
	return f->error;
}

char *fmt_cstr(struct fmt *f)
{
	if (f->len == f->cap) {
		f->truncated = true;
		f->len--;
	}
	f->buf[f->len] = '\0';
	return f->buf;
}

void fmt_mem(struct fmt *f, const void *p, size_t n)
{
	const char *s = p;

	while (n) {
		size_t room = f->cap - f->len;
		size_t part = MIN(room, n);

		if (part)
			memcpy(f->buf + f->len, s, part);
		f->len += part;
		s += part;
		n -= part;
		if (n && f->fd < 0) {
			if (f->full && !f->truncated && f->full(f))
				continue;
			f->truncated = true;
			return;
		}
		if (n && fmt_flush(f))
			return;
	}
}

void fmt_str(struct fmt *f, const char *s)
{
	fmt_mem(f, s, strlen(s));
}

void fmt_char(struct fmt *f, char c)
{
	fmt_mem(f, &c, 1);
}

/* Digits of v in the given base at the end of buf[24]; returns the start. */
static char *digits(char *buf, uint64_t v, unsigned base)
{
	char *p = buf + 24;

	do
		*--p = "0123456789abcdef"[v % base];
	while (v /= base);
	return p;
}

void fmt_u64(struct fmt *f, uint64_t v)
{
	char buf[24], *p = digits(buf, v, 10);

	fmt_mem(f, p, (size_t)(buf + 24 - p));
}

void fmt_i64(struct fmt *f, int64_t v)
{
	if (v < 0)
		fmt_char(f, '-');
	fmt_u64(f, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void fmt_hex(struct fmt *f, uint64_t v)
{
	char buf[24], *p = digits(buf, v, 16);

	fmt_mem(f, p, (size_t)(buf + 24 - p));
}

/* One conversion: flags, width and precision as far as they are known. */
struct spec {
	bool left, zero, has_precision;
	int width, precision, longs;
};

static void pad(struct fmt *f, char c, int n)
{
	while (n-- > 0)
		fmt_char(f, c);
}

static void put(struct fmt *f, const struct spec *s, const char *sign,
	const char *p, size_t n)
{
	int fill = s->width - (int)(n + strlen(sign));

	if (!s->left && !s->zero)
		pad(f, ' ', fill);
	fmt_str(f, sign);
	if (!s->left && s->zero)
		pad(f, '0', fill);
	fmt_mem(f, p, n);
	if (s->left)
		pad(f, ' ', fill);
}

static const char *parse_spec(const char *p, struct spec *s, va_list *ap)
{
	*s = (struct spec){0};
	for (;; p++) {
		if (*p == '-')
			s->left = true;
		else if (*p == '0')
			s->zero = true;
		else
			break;
	}
	if (*p == '*') {
		s->width = va_arg(*ap, int);
		p++;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		s->width = s->width * 10 + (*p - '0');
	if (*p == '.') {
		s->has_precision = true;
		if (*++p == '*') {
			s->precision = va_arg(*ap, int);
			p++;
		}
		for (; *p >= '0' && *p <= '9'; p++)
			s->precision = s->precision * 10 + (*p - '0');
	}
	for (; *p == 'l' || *p == 'z'; p++)
		s->longs++;
	return p;
}

static void put_integer(struct fmt *f, const struct spec *s, char conv,
	va_list *ap)
{
	char buf[24], *p;
	const char *sign = "";
	uint64_t v;

	if (conv == 'd' || conv == 'i') {
		int64_t i = s->longs ? va_arg(*ap, long) : va_arg(*ap, int);

		sign = i < 0 ? "-" : "";
		v = i < 0 ? -(uint64_t)i : (uint64_t)i;
	} else if (conv == 'p') {
		sign = "0x";
		v = (uintptr_t)va_arg(*ap, void *);
	} else {
		v = s->longs ? va_arg(*ap, unsigned long)
			     : va_arg(*ap, unsigned);
	}
	p = digits(buf, v, conv == 'x' || conv == 'p' ? 16 : 10);
	put(f, s, sign, p, (size_t)(buf + 24 - p));
}

void fmt_vprintf(struct fmt *f, const char *format, va_list ap_in)
{
	struct spec s;
	va_list ap;

	va_copy(ap, ap_in);
	for (const char *p = format; *p; p++) {
		const char *plain = p;

		while (*p && *p != '%')
			p++;
		fmt_mem(f, plain, (size_t)(p - plain));
		if (!*p)
			break;
		p = parse_spec(p + 1, &s, &ap);
		if (*p == 's') {
			const char *str = va_arg(ap, const char *);
			size_t n;

			str = str ? str : "(null)";
			n = s.has_precision ? strnlen(str, (size_t)s.precision)
					    : strlen(str);
			put(f, &s, "", str, n);
		} else if (*p == 'c') {
			char c = (char)va_arg(ap, int);

			put(f, &s, "", &c, 1);
		} else if (*p == '%') {
			fmt_char(f, '%');
		} else {
			put_integer(f, &s, *p, &ap);
		}
	}
	va_end(ap);
}

void fmt_printf(struct fmt *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fmt_vprintf(f, format, ap);
	va_end(ap);
}

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

void fmt_utc(struct fmt *f, int64_t seconds)
{
	static const uint8_t lengths[] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned s = (unsigned)(seconds % 86400), year = 1970, month = 0;
	uint64_t day = (uint64_t)seconds / 86400;

	for (; day >= 365u + is_leap(year); year++)
		day -= 365u + is_leap(year);
	for (;; month++) {
		unsigned length = lengths[month];

		length += month == 1 && is_leap(year);
		if (day < length)
			break;
		day -= length;
	}
	fmt_printf(f, "%04u-%02u-%02luT%02u:%02u:%02uZ", year, month + 1,
		day + 1, s / 3600, s / 60 % 60, s % 60);
}
