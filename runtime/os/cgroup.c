/* SPDX-License-Identifier: MIT */
/*
 * cgroup: how much memory the kernel will let this process's group have.
 *
 *	/proc/self/cgroup     which group   0::/a/b       (version 2)
 *	                                    4:memory:/a/b (version 1)
 *	/proc/self/mountinfo  where groups are folders, and which group the
 *	                      mount's top is
 *	MOUNT/a/b, MOUNT/a, MOUNT          one folder for each level
 *
 *	                version 2       version 1
 *	limit           memory.max      memory.limit_in_bytes
 *	what counts     memory.current  memory.usage_in_bytes
 *	of it, files    memory.stat:    memory.stat:
 *	                *active_file    total_*active_file
 *
 * A limit holds for all levels below it, so every level is asked, each time:
 * limits change while a container runs. Where a machine has both versions, the
 * one to which the memory controller is bound counts; that is version 1 exactly
 * if /proc/self/cgroup has a line with "memory" in it.
 *
 * What a group uses includes the files that it has read and written, and a
 * group that works with files is always at its limit. The kernel drops those
 * before it kills, so they are left out; memory.stat, which is long, is only
 * read where that can make a difference.
 *
 * Inside a container the mount may show the container's group as its top while
 * /proc/self/cgroup tells the path from the machine's: the mount's root (4th
 * word of mountinfo) is taken off where it is a prefix, and where it is not,
 * the mount point itself is the best there is.
 *
 * Rejected: memory.high (it slows down, and never kills); memory.pressure and
 * inotify on memory.events (a descriptor and a thread for each process).
 */
#include "os/cgroup.h"
#include "os/procfile.h"
#include "os/sysmem.h"

#include <string.h>

/* Bytes of mountinfo: a machine full of containers has thousands of lines. */
enum { MOUNTS_MAX = 1 << 20 };

/* Version 1's "no limit" is LONG_MAX rounded down to pages. */
#define NO_LIMIT (UINT64_C(1) << 62)

static const struct files {
	const char *limit, *used, *active, *inactive;
} files[] = {
	[1] = {"/memory.limit_in_bytes", "/memory.usage_in_bytes",
		"\ntotal_active_file ", "\ntotal_inactive_file "},
	[2] = {"/memory.max", "/memory.current", "\nactive_file ",
		"\ninactive_file "},
};

/* dst + src into dst, a string in cap bytes; false if it does not fit. */
static bool append(char *dst, size_t cap, const char *src, size_t n)
{
	size_t len = strlen(dst);

	if (n >= cap - len)
		return false;
	memcpy(dst + len, src, n);
	dst[len + n] = '\0';
	return true;
}

static size_t line_length(const char *p)
{
	return strcspn(p, "\n");
}

/* Is name an element of the comma-separated list of n bytes at p? */
static bool has_word(const char *p, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i + len <= n; i++) {
		bool starts = i == 0 || p[i - 1] == ',';

		if (starts && !memcmp(p + i, name, len) &&
			(i + len == n || p[i + len] == ','))
			return true;
	}
	return false;
}

/*
 * The group's path and version from the text of /proc/self/cgroup. Lines are
 * ID:CONTROLLERS:PATH, version 2's has ID 0 and no controllers.
 */
static int parse_group(const char *text, char *path, size_t cap)
{
	int version = 0;

	for (const char *p = text; *p;) {
		size_t n = line_length(p), len;
		const char *list = memchr(p, ':', n), *at;
		bool one;

		at = list ? memchr(list + 1, ':', n - (size_t)(list + 1 - p))
			  : NULL;
		if (!at)
			break;
		list++;
		len = (size_t)(at - list);
		one = has_word(list, len, "memory");
		if (one || (version == 0 && len == 0)) {
			*path = '\0';
			at++;
			if (append(path, cap, at, n - (size_t)(at - p)))
				version = one ? 1 : 2;
		}
		p += n + (p[n] == '\n');
	}
	return version;
}

/* Word i (0: the first) of a line; its length in *n. */
static const char *word(const char *line, unsigned i, size_t *n)
{
	while (i--) {
		line += strcspn(line, " \n");
		line += *line == ' ';
	}
	*n = strcspn(line, " \n");
	return line;
}

/* Blanks and the like in mountinfo are \040: octal. */
static void unescape(char *p)
{
	char *to = p;

	for (; *p; p++) {
		if (p[0] == '\\' && p[1] && p[2] && p[3]) {
			*to++ = (char)((p[1] - '0') << 6 |
				       (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

struct mount {
	char root[CGROUP_PATH_MAX], point[CGROUP_PATH_MAX];
};

/*
 * 36 35 98:0 ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS
 * True if the line is the mount that is looked for.
 */
static bool parse_mount(const char *line, int version, struct mount *m)
{
	size_t n = line_length(line), len;
	const char *end = memmem(line, n, " - ", 3), *p;

	if (!end)
		return false;
	p = word(end + 3, 0, &len);
	if (version == 2 ? len != 7 || memcmp(p, "cgroup2", 7)
			 : len != 6 || memcmp(p, "cgroup", 6))
		return false;
	p = word(end + 3, 2, &len);
	if (version == 1 && !has_word(p, len, "memory"))
		return false;
	*m->root = *m->point = '\0';
	p = word(line, 3, &len);
	if (!append(m->root, sizeof(m->root), p, len))
		return false;
	p = word(line, 4, &len);
	if (!append(m->point, sizeof(m->point), p, len))
		return false;
	unescape(m->root);
	unescape(m->point);
	return true;
}

static bool find_mount(const char *text, int version, struct mount *m)
{
	for (const char *p = text; *p;) {
		size_t n = line_length(p);

		if (parse_mount(p, version, m))
			return true;
		p += n + (p[n] == '\n');
	}
	return false;
}

/* What of path lies below the mount's root; "" if it is not below it. */
static const char *below(const char *root, const char *path)
{
	size_t n = strlen(root);

	if (n == 1) /* "/" */
		n = 0;
	if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
		return "";
	path += n;
	return !strcmp(path, "/") || !strncmp(path, "/..", 3) ? "" : path;
}

/* What is read at load, in memory that is given back. */
struct scratch {
	struct mount mount;
	char group[CGROUP_PATH_MAX];
	char text[MOUNTS_MAX];
};

static bool read_proc(struct cgroup *c, const char *root, const char *name,
	struct scratch *t)
{
	*c->path = '\0';
	return append(c->path, sizeof(c->path), root, strlen(root)) &&
	       append(c->path, sizeof(c->path), name, strlen(name)) &&
	       procfile_read(c->path, t->text, sizeof(t->text)) > 0;
}

static bool find(struct cgroup *c, const char *root, struct scratch *t)
{
	const char *rest, *point = t->mount.point;
	size_t cap = sizeof(c->dir);

	if (!read_proc(c, root, "/proc/self/cgroup", t))
		return false;
	c->version = parse_group(t->text, t->group, sizeof(t->group));
	if (!c->version || !read_proc(c, root, "/proc/self/mountinfo", t) ||
		!find_mount(t->text, c->version, &t->mount) ||
		!append(c->dir, cap, root, strlen(root)) ||
		!append(c->dir, cap, point, strlen(point)))
		return false;
	c->top = (unsigned)strlen(c->dir);
	rest = below(t->mount.root, t->group);
	return append(c->dir, cap, rest, strlen(rest));
}

bool cgroup_find(struct cgroup *c, const char *root)
{
	size_t size = ALIGN_UP(sizeof(struct scratch), (size_t)OS_PAGE);
	struct scratch *t = sysmem_map(NULL, size, SYS_OTHER);
	bool found;

	c->version = 0;
	*c->dir = '\0';
	found = t && find(c, root, t);
	if (!found)
		c->version = 0;
	if (t)
		sysmem_unmap(t, size, SYS_OTHER);
	return found;
}

/* A file of the folder that the first len bytes of dir name, into text. */
static bool read_file(struct cgroup *c, size_t len, const char *file)
{
	memcpy(c->path, c->dir, len);
	memcpy(c->path + len, file, strlen(file) + 1);
	return procfile_read(c->path, c->text, sizeof(c->text)) > 0;
}

/* A number from a file of the first len bytes of dir; UINT64_MAX: "max". */
static bool read_number(
	struct cgroup *c, size_t len, const char *file, uint64_t *v)
{
	if (!read_file(c, len, file))
		return false;
	*v = c->text[0] == 'm' ? UINT64_MAX : procfile_word_u64(c->text, 0);
	if (*v >= NO_LIMIT)
		*v = UINT64_MAX;
	return true;
}

/* The level above: len of its folder, or 0 after the mount point. */
static size_t parent(const struct cgroup *c, size_t len)
{
	if (len <= c->top)
		return 0;
	while (len > c->top && c->dir[len - 1] != '/')
		len--;
	return len > c->top ? len - 1 : c->top;
}

uint64_t cgroup_limit(struct cgroup *c)
{
	const struct files *f = &files[c->version];
	uint64_t least = UINT64_MAX, limit;

	if (!c->version)
		return UINT64_MAX;
	for (size_t n = strlen(c->dir); n; n = parent(c, n))
		if (read_number(c, n, f->limit, &limit))
			least = MIN(least, limit);
	return least;
}

/* Bytes of files that the kernel can drop, of those that count. */
static uint64_t file_bytes(struct cgroup *c, size_t len)
{
	const struct files *f = &files[c->version];
	const char *active, *inactive;

	if (!read_file(c, len, "/memory.stat"))
		return 0;
	active = strstr(c->text, f->active);
	inactive = strstr(c->text, f->inactive);
	return (active ? procfile_word_u64(active + 1, 1) : 0) +
	       (inactive ? procfile_word_u64(inactive + 1, 1) : 0);
}

bool cgroup_nearest(
	struct cgroup *c, uint64_t more, struct cgroup_memory *m)
{
	const struct files *f = &files[c->version];
	double most = -1;

	for (size_t n = c->version ? strlen(c->dir) : 0; n; n = parent(c, n)) {
		uint64_t limit, used;
		double part;

		if (!read_number(c, n, f->limit, &limit) ||
			limit == UINT64_MAX ||
			!read_number(c, n, f->used, &used))
			continue;
		used += more;
		if (used / 2 >= limit / 4) /* else it is far away anyway */
			used -= MIN(file_bytes(c, n), used);
		part = (double)used / ((double)limit + 1);
		if (part <= most)
			continue;
		most = part;
		*m = (struct cgroup_memory){.limit = limit, .used = used};
	}
	return most >= 0;
}
