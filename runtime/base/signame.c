/* SPDX-License-Identifier: MIT */
/*
 * signame: signal numbers and the names people type for them.
 *
 * A table of our own: libc's sigabbrev_np() is newer than the oldest libc this
 * should run on, and the other direction has no function at all. The numbers
 * come from <signal.h>, so the table fits any architecture. Where two names
 * mean one number the first row is the one that is printed.
 */
#include "base/signame.h"
#include "base/fmt.h"

#include <signal.h>
#include <string.h>

static const struct {
	char name[8];
	int signo;
} names[] = {
	{"HUP", SIGHUP},     {"INT", SIGINT},	  {"QUIT", SIGQUIT},
	{"ILL", SIGILL},     {"TRAP", SIGTRAP},	  {"ABRT", SIGABRT},
	{"IOT", SIGABRT},    {"BUS", SIGBUS},	  {"FPE", SIGFPE},
	{"KILL", SIGKILL},   {"USR1", SIGUSR1},	  {"SEGV", SIGSEGV},
	{"USR2", SIGUSR2},   {"PIPE", SIGPIPE},	  {"ALRM", SIGALRM},
	{"TERM", SIGTERM},   {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},
	{"CLD", SIGCHLD},    {"CONT", SIGCONT},	  {"STOP", SIGSTOP},
	{"TSTP", SIGTSTP},   {"TTIN", SIGTTIN},	  {"TTOU", SIGTTOU},
	{"URG", SIGURG},     {"XCPU", SIGXCPU},	  {"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
	{"IO", SIGIO},	     {"POLL", SIGIO},	  {"PWR", SIGPWR},
	{"SYS", SIGSYS},
};

/* ASCII only: the locale of the program has no say here. */
static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* True when the n bytes at s are word, whatever their case. */
static bool is_word(const char *s, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (!word[i] || upper(s[i]) != word[i])
			return false;
	return !word[n];
}

/* At most two digits and nothing else; -1 if not. */
static int small_number(const char *s, size_t n)
{
	int v = 0;

	if (n < 1 || n > 2)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* RTMIN, RTMIN+n, RTMAX, RTMAX-n; 0 if it is none of these. */
static int realtime(const char *s, size_t n)
{
	int sign, base, offset = 0;

	if (n < 5)
		return 0;
	if (is_word(s, 5, "RTMIN"))
		base = SIGRTMIN, sign = 1;
	else if (is_word(s, 5, "RTMAX"))
		base = SIGRTMAX, sign = -1;
	else
		return 0;
	if (n > 5) {
		if (s[5] != (sign > 0 ? '+' : '-'))
			return 0;
		offset = small_number(s + 6, n - 6);
		if (offset < 0)
			return 0;
	}
	return base + sign * offset;
}

static bool can_be_caught(int signo)
{
	if (signo == SIGKILL || signo == SIGSTOP)
		return false;
	return (signo >= 1 && signo <= SIGSYS) ||
	       (signo >= SIGRTMIN && signo <= SIGRTMAX);
}

int signame_parse(const char *name, size_t len)
{
	int signo = small_number(name, len);

	if (len > 3 && is_word(name, 3, "SIG")) {
		name += 3;
		len -= 3;
	}
	if (signo < 0)
		signo = realtime(name, len);
	for (size_t i = 0; !signo && i < NELEM(names); i++)
		if (is_word(name, len, names[i].name))
			signo = names[i].signo;
	return can_be_caught(signo) ? signo : 0;
}

char *signame(int signo, char buf[SIGNAME_MAX])
{
	struct fmt f;

	fmt_init(&f, buf, SIGNAME_MAX, -1);
	for (size_t i = 0; i < NELEM(names); i++) {
		if (names[i].signo == signo) {
			fmt_str(&f, names[i].name);
			return fmt_cstr(&f);
		}
	}
	if (signo >= SIGRTMIN && signo <= SIGRTMAX) {
		fmt_str(&f, "RTMIN");
		if (signo > SIGRTMIN)
			fmt_printf(&f, "+%d", signo - SIGRTMIN);
	} else {
		fmt_i64(&f, signo);
	}
	return fmt_cstr(&f);
}
