/* SPDX-License-Identifier: MIT */
/*
 * obstacle: why LD_PRELOAD does nothing for a program.
 *
 *	"app" ──PATH──▶ file ──"#!"──▶ interpreter ──ELF──▶ setuid? static?
 *	                                                   another machine?
 *
 * The loader ignores the variable in programs that run with more rights than
 * their caller, and programs without an interpreter have no loader.
 */
#include "launch.h"
#include "mem.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { HEAD = 4096, SCRIPTS = 5 }; /* depth the kernel allows */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *launch_find(const char *program)
{
	const char *path = getenv("PATH");

	if (strchr(program, '/'))
		return is_program(program) ? mem_copy(program) : NULL;
	path = path ? path : "/usr/local/bin:/bin:/usr/bin";
	for (;;) {
		size_t n = strcspn(path, ":");
		char *file = mem_printf(
			"%.*s%s%s", (int)n, path, n ? "/" : "", program);

		if (is_program(file))
			return file;
		free(file);
		if (!path[n])
			return NULL;
		path += n + 1;
	}
}

static char *raised_rights(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return NULL;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return mem_printf("%s is setuid: the loader ignores "
				  "LD_PRELOAD there",
			path);
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
		st.st_gid != getgid())
		return mem_printf("%s is setgid: the loader ignores "
				  "LD_PRELOAD there",
			path);
	if (getuid() && getxattr(path, "security.capability", NULL, 0) > 0)
		return mem_printf("%s has file capabilities: the loader "
				  "ignores LD_PRELOAD there",
			path);
	return NULL;
}

/* The library is built for the same machine as this tool. */
static bool same_machine(const Elf64_Ehdr *e)
{
	struct buf own = {0};
	Elf64_Ehdr o;
	bool same = true;

	if (buf_read_head(&own, "/proc/self/exe", sizeof(o)) &&
		own.len == sizeof(o)) {
		memcpy(&o, own.data, sizeof(o));
		same = o.e_ident[EI_CLASS] == e->e_ident[EI_CLASS] &&
		       o.e_ident[EI_DATA] == e->e_ident[EI_DATA] &&
		       o.e_machine == e->e_machine;
	}
	buf_free(&own);
	return same;
}

static char *elf_obstacle(const char *path, const char *head, size_t n)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;

	if (n < sizeof(e) || memcmp(head, ELFMAG, SELFMAG))
		return NULL;
	memcpy(&e, head, sizeof(e));
	if (!same_machine(&e))
		return mem_printf("%s is a program for another kind of "
				  "machine",
			path);
	for (unsigned i = 0; i < e.e_phnum; i++) {
		uint64_t at = e.e_phoff + (uint64_t)i * e.e_phentsize;

		if (at > n || n - at < sizeof(p))
			return NULL;
		memcpy(&p, head + at, sizeof(p));
		if (p.p_type == PT_INTERP)
			return NULL;
	}
	return mem_printf("%s is statically linked: there is no loader to "
			  "preload a library",
		path);
}

/* The interpreter of a script; false: it is none. */
static bool script(char *head, char **path)
{
	char *name;

	if (strncmp(head, "#!", 2))
		return false;
	name = head + 2 + strspn(head + 2, " \t");
	name[strcspn(name, " \t\n")] = '\0';
	free(*path);
	*path = mem_copy(name);
	return true;
}

char *launch_obstacle(const char *program)
{
	char *path = launch_find(program), *why = NULL;
	struct buf file = {0};

	for (int depth = 0; path && depth < SCRIPTS; depth++) {
		file.len = 0;
		why = raised_rights(path);
		if (why || !buf_read_head(&file, path, HEAD) ||
			!script(file.data, &path))
			break;
	}
	if (path && !why && file.data)
		why = elf_obstacle(path, file.data, file.len);
	buf_free(&file);
	free(path);
	return why;
}
