/* SPDX-License-Identifier: MIT */
/*
 * memstats: Go's MemStats from the allocator's counters.
 *
 * Nothing is stopped, locked or flushed: heapstats_read() delivers one set of
 * figures of which the heap's identities are true by construction, and every
 * sum here is made of the very values that are shown.
 *
 *	heapstats --> Alloc .. HeapObjects, BySize
 *	sysmem    --> MSpanSys .. OtherSys     \
 *	stacks    --> StackInuse, StackSys      > Sys is their sum
 *
 * Sys counts address space that is readable and writable, as Go's does, not
 * RSS; what was reserved only does not count.
 */
#include "observe/memstats.h"
#include "alloc/stats.h"
#include "gc/gcstats.h"
#include "observe/stacks.h"
#include "os/sysmem.h"

#include <string.h>

static void read_heap(struct gostat_memstats *m, const struct heapstats *h)
{
	m->TotalAlloc = h->total_alloc;
	m->Alloc = m->HeapAlloc = h->alloc;
	m->Mallocs = h->mallocs;
	m->Frees = h->frees;
	m->HeapObjects = h->mallocs - h->frees;
	m->HeapInuse = h->inuse;
	m->HeapIdle = h->idle;
	m->HeapReleased = h->released;
	m->HeapSys = h->heap_sys;
	m->MSpanInuse = h->mspan_inuse;
	m->MCacheInuse = h->mcache_inuse;
	for (unsigned c = 1; c < NELEM(m->BySize); c++) {
		m->BySize[c].Size = sizeclasses[c].size;
		m->BySize[c].Mallocs = h->of[c].mallocs;
		m->BySize[c].Frees = h->of[c].frees;
	}
}

static void read_gc(struct gostat_memstats *m)
{
	struct gcstats s;

	gcstats_read(&s);
	m->NextGC = s.next_gc;
	m->LastGC = s.last_gc;
	m->PauseTotalNs = s.pause_total_ns;
	memcpy(m->PauseNs, s.pause_ns, sizeof(m->PauseNs));
	memcpy(m->PauseEnd, s.pause_end, sizeof(m->PauseEnd));
	m->NumGC = s.numgc;
	m->NumForcedGC = s.numforced;
	m->GCCPUFraction = s.cpu_fraction;
}

void memstats_read(struct gostat_memstats *m)
{
	struct heapstats h;
	unsigned nthreads;

	memset(m, 0, sizeof(*m));
	heapstats_read(&h);
	read_heap(m, &h);
	read_gc(m);
	stacks_read(&m->StackInuse, &m->StackSys, &nthreads);
	m->MSpanSys = sysmem_sys(SYS_MSPAN);
	m->MCacheSys = sysmem_sys(SYS_MCACHE);
	m->BuckHashSys = sysmem_sys(SYS_BUCKHASH);
	m->GCSys = sysmem_sys(SYS_GC);
	m->OtherSys = sysmem_sys(SYS_OTHER);
	m->Sys = m->HeapSys + m->StackSys + m->MSpanSys + m->MCacheSys +
		m->BuckHashSys + m->GCSys + m->OtherSys;
	m->EnableGC = true;
}
