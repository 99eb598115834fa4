/* SPDX-License-Identifier: MIT */
/*
 * Writes profiles of three made-up call sites, with real addresses, for
 * test_pprof.py to read back:
 *
 *	mkprofile FOLDER
 *
 * heap.pb, heap.pb.gz, allocs.pb.gz, delta.pb.gz, named.pb.gz, heap.txt,
 * generations.pb.gz; and on stdout, for each site, its address, depth and numbers.
 */
#include "observe/pprof.h"

#define UNW_LOCAL_ONLY
#include <fcntl.h>
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SITES = 3, DEPTH = 32, RATE = 524288 };

static uintptr_t stacks[SITES][DEPTH];
static size_t depth[SITES];
static struct pprof_bucket buckets[SITES];

static NOINLINE void record(int i, uint64_t size, int64_t allocs, int64_t inuse)
{
	int n = unw_backtrace((void **)stacks[i], DEPTH);

	/* Begin at the caller of this function. */
	depth[i] = (size_t)n - 1;
	buckets[i] = (struct pprof_bucket){.id = (uint64_t)i * 10,
		.stack = (uint32_t)i,
		.size = size,
		.allocs = allocs,
		.alloc_bytes = allocs * (int64_t)size,
		.inuse = inuse,
		.inuse_bytes = inuse * (int64_t)size};
	__asm__ volatile("");
}

static NOINLINE void small_site(void)
{
	record(0, 48, 1000, 7);
	__asm__ volatile("");
}

static NOINLINE void large_site(void)
{
	record(1, 1 << 20, 3, 2);
	__asm__ volatile("");
}

static NOINLINE void freed_site(void)
{
	record(2, 4096, 5, 0);
	__asm__ volatile("");
}

static NOINLINE void caller(void)
{
	small_site();
	large_site();
	freed_site();
	__asm__ volatile("");
}

static size_t frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	memcpy(pc, stacks[stack] + 1, MIN(max, depth[stack]) * sizeof(*pc));
	return depth[stack];
}

/* The last site belongs to a time when another module was there. */
static uint32_t generation(uint32_t stack)
{
	return stack == 2;
}

static bool next(void *cursor, struct pprof_bucket *b)
{
	int *i = cursor;

	if (*i == SITES)
		return false;
	*b = buckets[(*i)++];
	return true;
}

static size_t names(void *arg, uintptr_t address, uint32_t of,
	struct pprof_line *line, size_t max)
{
	(void)arg;
	(void)of;
	if (max < 2)
		return 0;
	if (address == stacks[0][1] - 1) {
		line[0] = (struct pprof_line){"inlined_leaf", "leaf.c", 7};
		line[1] = (struct pprof_line){"ns::named::small", "s.cc", 70};
		return 2;
	}
	line[0] = (struct pprof_line){"elsewhere", "other.c", 1};
	return 1;
}

/* The executable mappings of this process; the program itself is first. */
static size_t read_maps(struct pprof_mapping *m, size_t max)
{
	static const uint8_t id[] = {1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4096], perms[5], path[4096];
	size_t n = 0;

	while (f && fgets(line, sizeof(line), f) && n < max) {
		path[0] = '\0';
		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %4095s", &m[n].start,
			    &m[n].limit, perms, &m[n].offset, path) == 5 &&
			perms[2] == 'x') {
			m[n].file = strdup(path);
			m[n].build_id = id;
			m[n].build_id_len = n ? 0 : sizeof(id);
			m[n].died = n ? UINT32_MAX : 1;
			n++;
		}
	}
	if (f)
		fclose(f);
	/* What took the program's place in the second generation. */
	m[n] = m[0];
	m[n].file = "/other";
	m[n].build_id_len = 0;
	m[n].born = 1;
	m[n].died = UINT32_MAX;
	return n + 1;
}

struct output {
	struct fmt f;
	char buf[1000];
};

static struct output *create(const char *folder, const char *name)
{
	static struct output o;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	fmt_init(&o.f, o.buf, sizeof(o.buf), fd);
	return &o;
}

static void finish(struct output *o, int error)
{
	if (error || fmt_flush(&o->f)) {
		fprintf(stderr, "mkprofile: error %d\n", error);
		exit(1);
	}
	close(o->f.fd);
}

static struct pprof_snapshot take(void)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	int cursor = 0;

	if (pprof_take(&s, next, &cursor))
		exit(1);
	return s;
}

int main(int argc, char **argv)
{
	static struct pprof_mapping maps[200];
	struct pprof_options o = {.rate = RATE, .mappings = maps,
		.frames = frames};
	struct pprof_snapshot s, old;
	struct output *out;

	if (argc != 2)
		return 2;
	caller();
	o.nmappings = read_maps(maps, NELEM(maps));
	s = take();
	out = create(argv[1], "heap.txt");
	finish(out, pprof_write_text(&out->f, &s, &o, NULL));
	pprof_scale(&s, RATE);
	out = create(argv[1], "heap.pb");
	finish(out, pprof_write(&out->f, &s, &o));
	out = create(argv[1], "heap.pb.gz");
	finish(out, pprof_write_gz(&out->f, &s, &o));
	o.allocs = true;
	out = create(argv[1], "allocs.pb.gz");
	finish(out, pprof_write_gz(&out->f, &s, &o));
	o.allocs = false;
	o.names = names;
	out = create(argv[1], "named.pb.gz");
	finish(out, pprof_write_gz(&out->f, &s, &o));
	o.names = NULL;
	pprof_free(&s);

	old = take();
	buckets[0].inuse -= 3;
	buckets[0].inuse_bytes -= 3 * 48;
	buckets[1].allocs += 1;
	buckets[1].alloc_bytes += 1 << 20;
	s = take();
	s.time_ns = old.time_ns + 2500000000;
	pprof_subtract(&s, &old);
	out = create(argv[1], "delta.pb.gz");
	finish(out, pprof_write_gz(&out->f, &s, &o));
	pprof_free(&s);
	pprof_free(&old);

	o.generation = generation;
	s = take();
	out = create(argv[1], "generations.pb.gz");
	finish(out, pprof_write_gz(&out->f, &s, &o));
	pprof_free(&s);

	for (int i = 0; i < SITES; i++)
		printf("%lx %zu\n", stacks[i][1], depth[i]);
	return 0;
}
