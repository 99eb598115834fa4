/* SPDX-License-Identifier: MIT */
/*
 * dumpfile: bytes out of the process, whole or not at all.
 *
 *	template ─expand─▶ path ─┬ a file, or nothing ─▶ temp ─rename─▶ path
 *	                         └ a device, a pipe ───▶ open, write
 *	NULL ───────────────────────────────────────────▶ descriptor 2
 *
 * A reader that waits for the name to appear must never see half a file, so the
 * bytes go to a temporary name in the same folder first. rename() would also
 * replace /dev/stdout by a file when root dumps there: what exists and is not a
 * regular file is written to directly, if it belongs to this user or to root.
 *
 * Descriptor 2 is stderr by convention only. A program that has closed it may
 * get a socket or its data base under that number, so both are told from what
 * was there at load; what still looks like a log is written to. Where a dump or
 * a leak report at the end has been asked for, a second descriptor is kept, for
 * it and for lines about it.
 *
 * Invariants:
 *   I1  at most one temporary file exists for each struct dumpfile, and none
 *       after dumpfile_commit();
 *   I2  each failure gives one line and counts once;
 *   I3  files are created with mode 0600 whatever the umask, never through a
 *       symbolic link.
 *
 * Nothing is fsynced: a dump that does not survive a power cut is no loss, and
 * waiting for a disk inside a signal handler is one.
 *
 * Rejected: O_TMPFILE with linkat (cannot replace an existing name, not on all
 * file systems); a temporary name made from path (may be too long for the file
 * system where path itself is not).
 */
#include "observe/dumpfile.h"
#include "base/atomics.h"
#include "base/errtext.h"
#include "base/fatal.h"
#include "base/options.h"
#include "os/clock.h"
#include "os/ownfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PROGRAM_MAX = 64,
	TEMP_TRIES = 16, /* names left over by a process of the same pid */
	FD_LEAST = 3,	 /* below: other threads may take it for stdio */
};

static struct {
	char program[PROGRAM_MAX];
	bool quiet;
	int pid; /* for use while quiet */
	uint64_t failures;
	char temporary[MAX_TEMPLATE]; /* folder, as part of a template */

	/* Descriptor 2 at load; zero if there was none. */
	dev_t stderr_dev;
	ino_t stderr_ino;
	struct ownfd stderr_kept;
} dumpfile = {.stderr_kept = OWNFD_NONE};

AT_START void dumpfile_init(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *name = slash ? slash + 1 : path;
	struct stat st;
	unsigned i = 0;

	dumpfile_fork_child();
	if (!name || !*name)
		name = "unknown";
	for (; name[i] && i < PROGRAM_MAX - 1; i++)
		dumpfile.program[i] =
			(unsigned char)name[i] < ' ' ? '_' : name[i];
	dumpfile.program[i] = '\0';
	if (!sys_failed(sys2(SYS_fstat, STDERR_FILENO, &st))) {
		dumpfile.stderr_dev = st.st_dev;
		dumpfile.stderr_ino = st.st_ino;
	}
}

static int kept_stderr(void)
{
	if (load_relaxed(&dumpfile.quiet) || !ownfd_valid(&dumpfile.stderr_kept))
		return -1;
	return dumpfile.stderr_kept.fd;
}

void dumpfile_keep_stderr(void)
{
	dumpfile.stderr_kept = ownfd_adopt(
		sys3(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, FD_LEAST));
	fatal_stderr_hook = kept_stderr;
}

void dumpfile_postfork_child(void)
{
	ownfd_close(&dumpfile.stderr_kept);
}

AT_START void dumpfile_temporary(char **envp)
{
	static const char var[] = "TMPDIR=/";
	struct fmt f;

	fmt_init(&f, dumpfile.temporary, sizeof(dumpfile.temporary), -1);
	while (*envp && strncmp(*envp, var, sizeof(var) - 1))
		envp++;
	for (const char *p = *envp ? *envp + sizeof(var) - 2 : ""; *p; p++)
		fmt_str(&f, *p == '%' ? "%%" : (char[]){*p, '\0'});
	fmt_cstr(&f);
	if (!f.len || f.truncated)
		strcpy(dumpfile.temporary, "/tmp");
}

const char *dumpfile_template(const char *suffix, char *out, size_t cap)
{
	struct fmt f;

	fmt_init(&f, out, cap, -1);
	fmt_printf(&f, "%s/gostat.%%e.%%p.%%n%s",
		*dumpfile.temporary ? dumpfile.temporary : "/tmp", suffix);
	return fmt_cstr(&f);
}

const char *dumpfile_program(void)
{
	return dumpfile.program;
}

void dumpfile_fork_child(void)
{
	dumpfile.pid = (int)sys0(SYS_getpid);
}

void dumpfile_quiet(void)
{
	store_relaxed(&dumpfile.quiet, true);
}

int dumpfile_pid(void)
{
	if (load_relaxed(&dumpfile.quiet))
		return dumpfile.pid;
	return (int)sys0(SYS_getpid);
}

bool dumpfile_is_here(void)
{
	return dumpfile_pid() == dumpfile.pid;
}

uint64_t dumpfile_failures(void)
{
	return load_relaxed(&dumpfile.failures);
}

/* One line, one count. Returns false for the caller to return. */
static bool failed(const struct dumpfile *d, const char *why)
{
	add_relaxed(&dumpfile.failures, 1);
	warn("%s to %.300s: %s", d->what,
		d->kind == DUMPFILE_STDERR ? "stderr" : d->path, why);
	return false;
}

bool dumpfile_expand(
	const char *template, uint64_t number, char *out, size_t cap)
{
	struct fmt f;

	fmt_init(&f, out, cap, -1);
	for (const char *p = template; *p; p++) {
		if (*p != '%') {
			fmt_char(&f, *p);
			continue;
		}
		switch (*++p) {
		case 'p':
			fmt_i64(&f, dumpfile_pid());
			break;
		case 'n':
			fmt_u64(&f, number);
			break;
		case 'e':
			fmt_str(&f, dumpfile.program);
			break;
		case 't':
			fmt_i64(&f, clock_unix_ns() / 1000000000);
			break;
		default:
			fmt_char(&f, '%');
		}
	}
	fmt_cstr(&f);
	return !f.truncated;
}

/* May descriptor 2 be written to, or has it become something else? */
static bool stderr_is_log(void)
{
	struct stat st;
	long flags;

	if (load_relaxed(&dumpfile.quiet))
		return true;
	if (sys_failed(sys2(SYS_fstat, STDERR_FILENO, &st)))
		return false;
	if (st.st_dev == dumpfile.stderr_dev &&
		st.st_ino == dumpfile.stderr_ino)
		return true;
	if (S_ISSOCK(st.st_mode))
		return false;
	if (!S_ISREG(st.st_mode))
		return true;
	flags = sys2(SYS_fcntl, STDERR_FILENO, F_GETFL);
	return flags & O_APPEND || (flags & O_ACCMODE) == O_WRONLY;
}

static bool open_stderr(struct dumpfile *d)
{
	if (stderr_is_log())
		return true;
	if (ownfd_valid(&dumpfile.stderr_kept)) {
		d->f.fd = dumpfile.stderr_kept.fd;
		return true;
	}
	return failed(d, "it is no longer what it was at start");
}

/* A device, pipe or socket that this user or root has put at path. */
static bool is_special(const char *path)
{
	struct stat st;
	long uid = sys0(SYS_geteuid);

	if (sys_failed(sys2(SYS_stat, path, &st)))
		return false;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return false;
	return st.st_uid == 0 || st.st_uid == (uid_t)uid;
}

/* Not to wait for a reader, but then to wait for a slow one. */
static long open_special(const char *path)
{
	long fd = sys2(
		SYS_open, path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (!sys_failed(fd))
		sys3(SYS_fcntl, fd, F_SETFL, 0);
	return fd;
}

/* folder of path + .gostat.PID.CLOCK.tmp */
static bool temp_name(struct dumpfile *d, unsigned try)
{
	const char *slash = strrchr(d->path, '/');
	struct fmt f;

	fmt_init(&f, d->temp, sizeof(d->temp), -1);
	if (slash)
		fmt_mem(&f, d->path, (size_t)(slash + 1 - d->path));
	fmt_printf(&f, ".gostat.%d.%lx%x.tmp", dumpfile_pid(),
		(unsigned long)clock_mono_ns(), try);
	fmt_cstr(&f);
	return !f.truncated;
}

/* Out of the range where a program that closed its stdio would write. */
static long move_up(long fd)
{
	long up;

	if (sys_failed(fd) || fd >= FD_LEAST)
		return fd;
	up = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_LEAST);
	sys1(SYS_close, fd);
	return up;
}

static long open_temp(struct dumpfile *d)
{
	long fd = -EEXIST;

	for (unsigned i = 0; fd == -EEXIST && i < TEMP_TRIES; i++) {
		if (!temp_name(d, i))
			return -ENAMETOOLONG;
		fd = sys3(SYS_open, d->temp,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	}
	if (!sys_failed(fd)) {
		sys2(SYS_fchmod, fd, 0600);
		fd = move_up(fd);
		if (sys_failed(fd))
			sys1(SYS_unlink, d->temp);
	}
	return fd;
}

bool dumpfile_open(struct dumpfile *d, const char *what, const char *template,
	const char *suffix, uint64_t number, char *buf, size_t cap)
{
	size_t n;
	long fd;

	d->what = what;
	d->kind = DUMPFILE_STDERR;
	fmt_init(&d->f, buf, cap, STDERR_FILENO);
	if (!template)
		return open_stderr(d);

	d->kind = DUMPFILE_RENAMED;
	if (load_relaxed(&dumpfile.quiet)) {
		struct fmt f;

		fmt_init(&f, d->path, sizeof(d->path), -1);
		fmt_str(&f, template);
		fmt_cstr(&f);
		return failed(d, "the program has restricted system calls");
	}
	if (!dumpfile_expand(template, number, d->path, sizeof(d->path)))
		return failed(d, errtext(ENAMETOOLONG));
	n = strlen(d->path);
	if (strlen(suffix) >= sizeof(d->path) - n)
		return failed(d, errtext(ENAMETOOLONG));
	strcpy(d->path + n, suffix);

	if (is_special(d->path)) {
		d->kind = DUMPFILE_DIRECT;
		fd = move_up(open_special(d->path));
	} else {
		fd = open_temp(d);
	}
	if (sys_failed(fd))
		return failed(d, errtext((int)-fd));
	d->f.fd = (int)fd;
	return true;
}

bool dumpfile_commit(struct dumpfile *d)
{
	int error = fmt_flush(&d->f);
	long r;

	if (d->kind == DUMPFILE_STDERR)
		return !error || failed(d, errtext(error));
	r = sys1(SYS_close, d->f.fd);
	if (!error && sys_failed(r) && r != -EINTR)
		error = (int)-r; /* NFS and quotas report late */
	if (d->kind == DUMPFILE_RENAMED) {
		r = error ? 0 : sys2(SYS_rename, d->temp, d->path);
		if (sys_failed(r))
			error = (int)-r;
		if (error)
			sys1(SYS_unlink, d->temp);
	}
	return !error || failed(d, errtext(error));
}
