/* SPDX-License-Identifier: MIT */
/*
 * process: from a process id to the socket that the library listens at.
 *
 * The library chooses the name (spec: auto, or a template); here the same rules
 * are followed backwards, first with what the process was started with:
 *
 *	/proc/PID/environ ──▶ GOSTAT_SOCKET ──▶ template, expanded
 *	                  └─▶ XDG_RUNTIME_DIR ──▶ .../gostat/PID.sock
 *	otherwise              /run/user/UID/gostat/PID.sock,
 * /tmp/gostat-UID/...
 *
 * A template with parts that can't be known from outside (%t, %n) becomes a
 * pattern, and the folder is searched for the newest socket that fits.
 *
 * In a container paths are seen through /proc/PID/root, and the process knows
 * itself under another id (the last number of NSpid).
 */
#include "process.h"
#include "mem.h"

#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *read_proc(int pid, const char *name, struct buf *b)
{
	char *path = mem_printf("/proc/%d/%s", pid, name);
	bool fine = buf_read_file(b, path);

	free(path);
	return fine ? b->data : NULL;
}

static char *read_link(int pid, const char *name)
{
	char *path = mem_printf("/proc/%d/%s", pid, name), to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof(to));

	free(path);
	return n > 0 && n < (ssize_t)sizeof(to) ? mem_copy_n(to, (size_t)n)
						: NULL;
}

/* The value of a variable that the process was started with, or NULL. */
static const char *variable(const struct buf *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t at = 0; at < env->len; at += strlen(env->data + at) + 1)
		if (!strncmp(env->data + at, name, n) &&
			env->data[at + n] == '=')
			return env->data + at + n + 1;
	return NULL;
}

/* The id that the process has for itself. */
static int own_pid(int pid)
{
	struct buf b = {0};
	char *status = read_proc(pid, "status", &b), *at;
	int own = pid;

	at = status ? strstr(status, "\nNSpid:") : NULL;
	if (at) {
		at += strlen("\nNSpid:");
		at[strcspn(at, "\n")] = '\0';
		at = strrchr(at, '\t');
		own = at ? atoi(at + 1) : pid;
	}
	buf_free(&b);
	return own;
}

static bool is_socket(const char *path, struct stat *st)
{
	return !stat(path, st) && S_ISSOCK(st->st_mode);
}

static char *with_root(const struct process *p, const char *path)
{
	return mem_printf("%s%s", p->root ? p->root : "", path);
}

/* path if there is a socket, as seen from here. */
static char *try(const struct process *p, char *path)
{
	char *here = with_root(p, path);
	struct stat st;

	free(path);
	if (is_socket(here, &st) && (st.st_uid == p->uid || !st.st_uid))
		return here;
	free(here);
	return NULL;
}

/* The newest socket of that owner whose name fits. */
static char *search(
	const struct process *p, const char *folder, const char *pattern)
{
	DIR *d = opendir(folder);
	struct timespec newest = {0};
	char *found = NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char *path;
		struct stat st;

		if (fnmatch(pattern, e->d_name, FNM_PERIOD))
			continue;
		path = mem_printf("%s/%s", folder, e->d_name);
		if (is_socket(path, &st) && st.st_uid == p->uid &&
			(!found || st.st_mtim.tv_sec > newest.tv_sec)) {
			newest = st.st_mtim;
			free(found);
			found = path;
		} else {
			free(path);
		}
	}
	if (d)
		closedir(d);
	return found;
}

/* What %e stands for: the last part of the program's path. */
static const char *program(const struct process *p)
{
	const char *slash = strrchr(p->exe, '/');

	return slash ? slash + 1 : p->exe;
}

static char *by_template(const struct process *p, const char *template, int own)
{
	struct buf path = {0};
	char *cwd = template[0] == '/' ? NULL : read_link(p->pid, "cwd");
	char *here, *name, *found;

	if (cwd)
		buf_printf(&path, "%s/", cwd);
	free(cwd);
	for (; *template; template ++) {
		if (*template != '%') {
			/* What fnmatch() would take for something else. */
			buf_printf(&path,
				strchr("*?[\\", *template) ? "\\%c" : "%c",
				*template);
			continue;
		}
		switch (*++template) {
		case 'p':
			buf_printf(&path, "%d", own);
			break;
		case 'e':
			buf_printf(&path, "%s", program(p));
			break;
		case '%':
			buf_add(&path, "%", 1);
			break;
		case '\0':
			template --;
			break;
		default:
			buf_add(&path, "*", 1);
		}
	}
	here = with_root(p, path.data ? path.data : "");
	buf_free(&path);
	name = strrchr(here, '/');
	if (!name) {
		free(here);
		return NULL;
	}
	*name++ = '\0';
	found = search(p, *here ? here : "/", name);
	free(here);
	return found;
}

static char *by_folder(const struct process *p, const struct buf *env, int own)
{
	const char *dir = variable(env, "XDG_RUNTIME_DIR");
	char *found = NULL;

	if (dir)
		found = try(p, mem_printf("%s/gostat/%d.sock", dir, own));
	if (!found)
		found = try(p,
			mem_printf("/run/user/%u/gostat/%d.sock", p->uid, own));
	if (!found)
		found = try(
			p, mem_printf("/tmp/gostat-%u/%d.sock", p->uid, own));
	dir = getenv("XDG_RUNTIME_DIR");
	if (!found && dir && !p->root)
		found = try(p, mem_printf("%s/gostat/%d.sock", dir, own));
	return found;
}

static char *find_socket(const struct process *p)
{
	int own = own_pid(p->pid);
	struct buf env = {0};
	const char *template;
	char *found = NULL;

	read_proc(p->pid, "environ", &env);
	template = variable(&env, "GOSTAT_SOCKET");
	if (template && *template && strcmp(template, "auto") &&
		strcmp(template, "off"))
		found = by_template(p, template, own);
	if (!found)
		found = by_folder(p, &env, own);
	buf_free(&env);
	return found;
}

static char *name_of(int pid)
{
	char *exe = read_link(pid, "exe");
	struct buf b = {0};

	if (exe)
		return exe;
	exe = read_proc(pid, "comm", &b);
	if (exe)
		exe[strcspn(exe, "\n")] = '\0';
	exe = mem_copy(exe ? exe : "?");
	buf_free(&b);
	return exe;
}

/* Are the paths that it knows the same as ours? */
static char *foreign_root(int pid)
{
	char *own = read_link(getpid(), "ns/mnt");
	char *its = read_link(pid, "ns/mnt"), *root = read_link(pid, "root");
	bool foreign =
		(own && its && strcmp(own, its)) || (root && strcmp(root, "/"));

	free(own);
	free(its);
	free(root);
	return foreign ? mem_printf("/proc/%d/root", pid) : NULL;
}

bool process_look(struct process *p, int pid)
{
	char path[32];
	struct stat st;

	*p = (struct process){.pid = pid};
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st))
		return false;
	p->uid = st.st_uid;
	p->root = foreign_root(pid);
	p->exe = name_of(pid);
	p->socket = find_socket(p);
	return true;
}

void process_free(struct process *p)
{
	free(p->root);
	free(p->exe);
	free(p->socket);
	*p = (struct process){0};
}

bool process_is_loaded(const struct process *p)
{
	struct buf maps = {0};
	char *text = read_proc(p->pid, "maps", &maps);
	bool loaded = text && strstr(text, "/libgostat.so");

	buf_free(&maps);
	return loaded;
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

struct process *process_list(size_t *n)
{
	struct process *list = NULL, p;
	DIR *d = opendir("/proc");
	struct dirent *e;

	*n = 0;
	while (d && (e = readdir(d))) {
		int pid = atoi(e->d_name);

		if (!isdigit((unsigned char)e->d_name[0]) ||
			!process_look(&p, pid))
			continue;
		if ((geteuid() && p.uid != geteuid()) ||
			!process_is_loaded(&p)) {
			process_free(&p);
			continue;
		}
		list = mem_grow(list, *n, sizeof(*list));
		list[(*n)++] = p;
	}
	if (d)
		closedir(d);
	if (*n)
		qsort(list, *n, sizeof(*list), by_pid);
	return list;
}
