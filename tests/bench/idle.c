// SPDX-License-Identifier: MIT
/*
 * idle MIB SECONDS: what a process keeps after a burst.
 *
 * Allocates MIB mebibytes of small blocks (16 to 512 bytes, all written),
 * frees them in order of allocation and prints the resident size at the peak,
 * right after, after SECONDS of sleep without a call, and after a thousand
 * further malloc and free pairs. The blocks form a list through themselves, so
 * that the program keeps nothing of its own.
 */
#include "bench.h"

#include <fcntl.h>
#include <unistd.h>

struct block {
	struct block *next;
	size_t size;
};

/* Resident size in KiB, read without allocating. */
static size_t rss_kib(void)
{
	char buf[128];
	char *field;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n <= 0)
		bench_fail("/proc/self/statm");
	close(fd);
	buf[n] = '\0';
	field = strchr(buf, ' ');
	if (!field)
		bench_fail("/proc/self/statm");
	return strtoul(field, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static struct block *burst(size_t bytes, uint64_t *rng)
{
	struct block *first = NULL;
	struct block **last = &first;

	while (bytes) {
		size_t size = bench_between(rng, sizeof(struct block), 512);
		struct block *b;

		size = size < bytes ? size : bytes;
		bytes -= size;
		if (size < sizeof(*b))
			break;
		b = bench_must(malloc(size));
		memset(b, 0x5a, size);
		*b = (struct block){ .size = size };
		*last = b;
		last = &b->next;
	}
	return first;
}

int main(int argc, char **argv)
{
	size_t mib = bench_number(argc > 1 ? argv[1] : NULL, "MiB?");
	size_t seconds = bench_number(argc > 2 ? argv[2] : NULL, "seconds?");
	uint64_t rng = 83;
	struct block *b = burst(mib << 20, &rng);

	printf("peak %zu\n", rss_kib());
	while (b) {
		struct block *next = b->next;

		if (b->size < sizeof(*b) || b->size > 512)
			bench_fail("a block is damaged");
		free(b);
		b = next;
	}
	printf("after %zu\n", rss_kib());
	sleep((unsigned)seconds);
	printf("idle %zu\n", rss_kib());
	for (int i = 0; i < 1000; i++) {
		char *p = bench_must(malloc(bench_between(&rng, 16, 512)));

		*p = 1;
		bench_use(p);
		free(p);
	}
	printf("again %zu\n", rss_kib());
	return 0;
}
