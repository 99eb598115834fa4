/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_DUMPFILE_H
#define GOSTAT_OBSERVE_DUMPFILE_H

#include "base/fmt.h"

/*
 * Where a dump goes: stderr, or a file that appears under its name only when
 * it is whole. Everything here is async-signal-safe and leaves errno alone; a
 * struct dumpfile has one user at a time and is big (keep it static).
 */
enum { DUMPFILE_PATH_MAX = 4096 };

struct dumpfile {
	struct fmt f;	  /* write here */
	const char *what; /* for messages: "dump", "trace" ... */
	enum {
		DUMPFILE_STDERR,
		DUMPFILE_RENAMED, /* f.fd is temp, to become path */
		DUMPFILE_DIRECT	  /* path is a device or a pipe */
	} kind;
	char path[DUMPFILE_PATH_MAX];
	char temp[DUMPFILE_PATH_MAX];
};

/*
 * Open what the path template stands for (%p pid, %n number, %e program, %t
 * time), or stderr if it is NULL; buf is the write buffer. suffix is put behind
 * the expanded template. On failure false comes back and one line on stderr has
 * said why.
 */
bool dumpfile_open(struct dumpfile *d, const char *what, const char *template,
	const char *suffix, uint64_t number, char *buf, size_t cap);

/*
 * Write out the rest, close, and give the file its name; or, if anything has
 * gone wrong, say so in one line on stderr, remove what there is and return
 * false.
 */
bool dumpfile_commit(struct dumpfile *d);

/* Files and dumps that could not be written, since start. */
uint64_t dumpfile_failures(void);

/*
 * The expansion of template into out; false if it is longer than cap, with its
 * NUL. For other files that are named by a template.
 */
bool dumpfile_expand(
	const char *template, uint64_t number, char *out, size_t cap);

/*
 * Remember what may be overwritten later: the program's name, and which file
 * stderr is. Call it once at load.
 */
void dumpfile_init(void);

/*
 * Keep a second descriptor for stderr, closed on exec, that is used when
 * descriptor 2 has been closed or has become something else: coreutils and many
 * others close it in an exit handler. Only where something will be said there
 * at the end: whoever reads the other end of a pipe sees its end when the
 * process ends, not before.
 */
void dumpfile_keep_stderr(void);

/*
 * In the child of fork: nothing is kept. A daemon lives on without its stderr,
 * and who waits for the end of that pipe waits for the parent only.
 */
void dumpfile_postfork_child(void);

/*
 * Where files go that nobody has named: $TMPDIR of envp, else /tmp. Call it
 * once at load.
 */
void dumpfile_temporary(char **envp);

/* A template for such a file: gostat.PROGRAM.PID.NUMBER and suffix in there. */
const char *dumpfile_template(const char *suffix, char *out, size_t cap);

/* The program's name as in %e. */
const char *dumpfile_program(void);

/*
 * The program has restricted its system calls: from now on nothing but write(2)
 * to stderr; files are refused with a line.
 */
void dumpfile_quiet(void);

/*
 * The process id. Once dumpfile_quiet() was called it is the one that was
 * remembered at load or here, and the kernel is not asked.
 */
int dumpfile_pid(void);

/*
 * Is this the process that was loaded or made by fork? The child of a vfork, or
 * of a bare clone, is not.
 */
bool dumpfile_is_here(void);
void dumpfile_fork_child(void);

#endif
