/* SPDX-License-Identifier: MIT */
/*
 * spare: page tables for a copy, fetched before the pause.
 *
 *	read one page of each	[ 2 MiB ][ 2 MiB ][ 2 MiB ] ...  nothing else there
 *	                            |        |        |
 *	the one page of zeroes,     v        v        v
 *	and behind each use of it [table]  [table]  [table]
 *	munmap                      '--------'--------'--> free pages of this CPU
 *	stop, clone                 <---------------------'
 *
 * For each huge page that clone shares with the copy it takes a table from the
 * free pages and clears it, in case that the huge page must be split. With a
 * heap of 1 GiB that is half of the pause: 2 MiB of memory that no cache has
 * seen. A mapping of huge pages that is only read needs the same tables and
 * nothing else. Its end puts them back on top of the CPU's own list, warm, and
 * clone takes them from there.
 *
 * The mapping lives for as long as it takes, a millisecond, and for no longer
 * than this file's one function; the maps were read before.
 *
 * Invariant: no memory but page tables is used. Where the kernel has been told
 * not to use its page of zeroes, reading would take huge pages, so nothing is
 * done; where a limit of address space might be met, neither.
 *
 * Rejected: to keep the mapping (a gigabyte in VmSize; the tables in use).
 * Rejected: ordinary page tables (they are freed after a grace period, when
 * they are cold).
 */
#include "gc/spare.h"
#include "os/procfile.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum {
	FEW = 32,    /* blocks: not worth the calls */
	MOST = 1024, /* 4 MiB of tables; more are in no cache */
};

#define DIR "/sys/kernel/mm/transparent_hugepage/"

/* Is reading free, in huge pages as well? */
static bool zeroes_are_shared(void)
{
	char text[16];

	return procfile_read(DIR "use_zero_page", text, sizeof(text)) &&
	       text[0] == '1';
}

static bool unlimited(void)
{
	struct rlimit as;

	return !sys_failed(sys2(SYS_getrlimit, RLIMIT_AS, &as)) &&
	       as.rlim_cur == RLIM_INFINITY;
}

void spare_tables(size_t heap_bytes)
{
	size_t n = MIN(heap_bytes / HUGE_PAGE, (size_t)MOST);
	size_t bytes = (n + 1) * HUGE_PAGE;
	uintptr_t lo;
	long p;

	if (n < FEW || sandboxed || !unlimited() || !zeroes_are_shared())
		return;
	p = sys6(SYS_mmap, 0, bytes, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(p))
		return;
	lo = ALIGN_UP((uintptr_t)p, (uintptr_t)HUGE_PAGE);
	sysmem_hugepage((void *)lo, n * HUGE_PAGE, true);
	for (size_t i = 0; i < n; i++)
		if (sys_failed(sys3(SYS_madvise, lo + i * HUGE_PAGE, OS_PAGE,
			    MADV_POPULATE_READ)))
			break;
	sys2(SYS_munmap, p, bytes);
}
