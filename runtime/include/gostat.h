/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_H
#define GOSTAT_H

/*
 * gostat: a Go runtime's memory system under any program.
 *
 * The functions live in libgostat.so, which is preloaded
 * (LD_PRELOAD=libgostat.so ./app) or linked (-lgostat). A program that may also
 * run without it includes this header and nothing else: the references are
 * weak, and
 *
 *	if (gostat_available())
 *		gostat_read_memstats(&m);
 *
 * is right in both cases. Calling another function of this header without the
 * library is calling NULL. (Non-PIC code: GCC does the right thing, clang needs
 * -fPIE, or -fPIC.)
 *
 * Names and meanings are those of Go's runtime and runtime/debug packages; each
 * declaration names its counterpart. Sizes are bytes and times nanoseconds
 * unless said otherwise. Every function may be called from any thread; those
 * that are also async-signal-safe say so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef GOSTAT_BUILD
#define GOSTAT_API __attribute__((visibility("default")))
#elif defined(__clang__)
#define GOSTAT_API __attribute__((weak))
#else
/* noplt: keeps the linker from deciding "not there" for non-PIE programs. */
#define GOSTAT_API __attribute__((weak, noplt))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One size class in gostat_memstats.BySize. */
struct gostat_by_size {
	uint32_t Size;	  /* objects of at most Size bytes, more than the class
			     before */
	uint64_t Mallocs; /* cumulative count of objects allocated */
	uint64_t Frees;	  /* cumulative count of objects freed */
};

/*
 * runtime.MemStats: Go's field names, order and types.
 *
 * Byte counts of objects are slot sizes (a small object counts its size class,
 * a large one whole 8 KiB pages), as in Go. In every snapshot:
 *
 *	Alloc = HeapAlloc		HeapObjects = Mallocs - Frees
 *	HeapSys = HeapIdle + HeapInuse	HeapReleased <= HeapIdle
 *	HeapAlloc <= HeapInuse		TotalAlloc >= Alloc
 *	Sys = HeapSys + StackSys + MSpanSys + MCacheSys + BuckHashSys + GCSys
 *	      + OtherSys
 */
struct gostat_memstats {
	/* General */
	uint64_t Alloc;	     /* bytes of allocated objects; same as HeapAlloc */
	uint64_t TotalAlloc; /* cumulative bytes allocated; never falls */
	uint64_t Sys;	     /* bytes obtained from the system */
	uint64_t Lookups;    /* always 0, as in Go */
	uint64_t Mallocs;    /* cumulative count of objects allocated */
	uint64_t Frees;	     /* cumulative count of objects freed */

	/* Heap */
	uint64_t HeapAlloc;    /* bytes of live and not yet freed objects */
	uint64_t HeapSys;      /* bytes of heap obtained from the system */
	uint64_t HeapIdle;     /* bytes in free spans */
	uint64_t HeapInuse;    /* bytes in spans with at least one object */
	uint64_t HeapReleased; /* bytes of HeapIdle without memory behind them:
				  given back, or never touched */
	uint64_t HeapObjects;  /* allocated objects now */

	/* Off the heap */
	uint64_t StackInuse;  /* bytes between stack pointer and stack top, over
				 all threads */
	uint64_t StackSys;    /* bytes mapped for the threads' stacks */
	uint64_t MSpanInuse;  /* bytes of span descriptors in use */
	uint64_t MSpanSys;    /* bytes obtained for span descriptors */
	uint64_t MCacheInuse; /* bytes of per-thread caches in use */
	uint64_t MCacheSys;   /* bytes obtained for per-thread caches */
	uint64_t BuckHashSys; /* bytes of the heap profile's tables */
	uint64_t GCSys;	      /* bytes of heap maps, bitmaps and the collector */
	uint64_t OtherSys;    /* bytes of everything else */

	/* Collector */
	uint64_t NextGC;	/* HeapAlloc at which the next cycle starts; with
				   GOGC=off 2^64 - 1, as in Go */
	uint64_t LastGC;	/* end of the last cycle, ns since 1970; or 0 */
	uint64_t PauseTotalNs;	/* sum of all pauses since start */
	uint64_t PauseNs[256];	/* pauses of the last cycles, a ring: the newest
				   is [(NumGC + 255) % 256] */
	uint64_t PauseEnd[256]; /* their ends, ns since 1970; same index */
	uint32_t NumGC;		/* completed cycles */
	uint32_t NumForcedGC;	/* cycles that somebody asked for */
	double GCCPUFraction;	/* of all CPU time since start, 0 to 1 */
	bool EnableGC;		/* always true, as in Go */
	bool DebugGC;		/* always false, as in Go */

	/* Objects up to 18432 bytes by size class; [0] is all zero. */
	struct gostat_by_size BySize[61];
};

/*
 * Everything that was found unreachable, by the place it has in the leak: an
 * object that hangs off a leaked one is indirect, in a leaked ring one object
 * is direct. Bytes are what the program asked for.
 */
struct gostat_leaks {
	uint64_t direct_objects, direct_bytes;
	uint64_t indirect_objects, indirect_bytes;
	uint64_t suppressed_objects, suppressed_bytes;
};

/* Which limit memory is near to. */
enum gostat_limit {
	GOSTAT_LIMIT_MEMORY,  /* GOMEMLIMIT, gostat_set_memory_limit() */
	GOSTAT_LIMIT_MAXHEAP, /* GOSTAT_MAXHEAP, gostat_set_max_heap() */
	GOSTAT_LIMIT_CGROUP   /* the limit of the process's cgroup */
};

struct gostat_pressure {
	enum gostat_limit kind;
	uint64_t limit; /* bytes */
	uint64_t used;	/* bytes that count against it */
};

/* Fill *m; the identities above hold in it. runtime.ReadMemStats. */
GOSTAT_API void gostat_read_memstats(struct gostat_memstats *m);

/* Is the library in this process? Async-signal-safe. No counterpart. */
static inline bool gostat_available(void)
{
#ifdef GOSTAT_BUILD
	return true;
#else
	return gostat_read_memstats != NULL;
#endif
}

/*
 * Give idle heap memory back to the system now. runtime/debug.FreeOSMemory
 * (without its collection: nothing here frees what the program has not freed).
 */
GOSTAT_API void gostat_free_os_memory(void);

/*
 * Run a full cycle of the collector and wait for it; where another one is under
 * way, after it. What is found depends on GOSTAT_GC: leaks are reported, or
 * reclaimed. Where no cycle can be run (a sandbox) nothing happens. Not
 * async-signal-safe. runtime.GC.
 */
GOSTAT_API void gostat_gc(void);

/*
 * Run a full cycle and fill *out (which may be NULL) with what it has found
 * unreachable. Returns the number of leaked objects, direct and indirect
 * together; (size_t)-1 with errno EAGAIN if no cycle could be run. Not
 * async-signal-safe. No counterpart; LeakSanitizer's
 * __lsan_do_recoverable_leak_check is the nearest.
 */
GOSTAT_API size_t gostat_find_leaks(struct gostat_leaks *out);

/*
 * Start a cycle when the heap has grown by this percentage over what the last
 * one found reachable; negative is off. Returns the old value, -1 for off. The
 * first call with a percentage starts the library's helper thread.
 * runtime/debug.SetGCPercent.
 */
GOSTAT_API int gostat_set_gc_percent(int percent);

/*
 * Set how many threads mark in a cycle (at most 64); n < 1 only reads. Returns
 * the old value; as long as none was set, the number of usable CPUs. There is
 * nothing else that it could limit: threads are the program's.
 * Async-signal-safe. runtime.GOMAXPROCS.
 */
GOSTAT_API int gostat_gomaxprocs(int n);

/*
 * Have fn(obj) called once obj was found unreachable by a cycle; NULL takes
 * that back. obj is the address of an object of malloc's. It is called on a
 * thread of its own, which the first call of this function starts, with all
 * signals blocked; obj and what it leads to are whole then, and obj is not freed
 * by the library before a later cycle with GOSTAT_GC=reclaim: fn may free it. Of
 * objects that lead to each other the outermost comes first; a ring is never
 * finalized. Who frees obj by hand takes the finalizer back first.
 *
 * 0, or -1 and errno: EINVAL (no object begins there), ENOMEM, EAGAIN (no
 * thread). Not async-signal-safe. runtime.SetFinalizer.
 */
GOSTAT_API int gostat_set_finalizer(void *obj, void (*fn)(void *obj));

/*
 * Set the soft limit on Sys - HeapReleased in bytes; INT64_MAX is none, a
 * negative value only reads. Returns the old limit. runtime/debug.
 * SetMemoryLimit.
 */
GOSTAT_API int64_t gostat_set_memory_limit(int64_t bytes);

/*
 * Set the hard limit on the heap in bytes, beyond which allocation fails with
 * ENOMEM; 0 is none. Returns the old limit. No counterpart.
 */
GOSTAT_API size_t gostat_set_max_heap(size_t bytes);

/*
 * Write the heap profile to fd, as gzipped profile.proto that `go tool pprof`
 * reads. 0, or -1 and errno (that of write, or ENOMEM). runtime/pprof.
 * WriteHeapProfile.
 */
GOSTAT_API int gostat_write_heap_profile(int fd);

/*
 * Record an execution trace to fd, in the format of `go tool trace`, until
 * gostat_trace_stop(), which writes the rest, waiting for the reader. fd stays
 * the caller's and must stay open so long. Written by a thread of the library's,
 * which is started if need be; what a slow reader does not take in time is left
 * out event by event. 0, or -1 and errno: EBUSY (one at a time, whoever has
 * asked for it), EBADF, ENOMEM, EAGAIN (no thread). runtime/trace.Start, Stop.
 */
GOSTAT_API int gostat_trace_start(int fd);
GOSTAT_API void gostat_trace_stop(void);

/*
 * Have fn(state, arg) called when memory becomes scarce: when 90 % of the
 * nearest limit are used, and then once a second while that lasts. It is looked
 * for where the heap grows, and now and then. fn runs on a thread of the
 * library's and may do what the program's threads may; it should give up what
 * the program can do without. A forked child is told nothing until it registers
 * fn itself. 0, or -1 and errno: EINVAL (no fn), ENOMEM (32 have been
 * registered), EAGAIN (no thread). No counterpart.
 */
GOSTAT_API int gostat_on_memory_pressure(
	void (*fn)(const struct gostat_pressure *state, void *arg), void *arg);

/*
 * CPUs that this process could use when it started; later changes of its
 * affinity do not show. At least 1. Async-signal-safe. runtime.NumCPU.
 */
GOSTAT_API int gostat_num_cpu(void);

/*
 * Threads of this process, the library's own not counted; at least 1, also
 * where /proc is not there to ask. Async-signal-safe. runtime.NumGoroutine.
 */
GOSTAT_API int gostat_num_threads(void);

/* "linux"; "amd64"; and this library's version, like "0.1.0". Static strings.
 * Async-signal-safe. runtime.GOOS, runtime.GOARCH, runtime.Version. */
GOSTAT_API const char *gostat_goos(void);
GOSTAT_API const char *gostat_goarch(void);
GOSTAT_API const char *gostat_version(void);

/* Let other threads run. Async-signal-safe. runtime.Gosched. */
GOSTAT_API void gostat_gosched(void);

/*
 * End this thread and run its cleanup handlers; the others go on, also when it
 * is the first one. Never returns. runtime.Goexit.
 */
GOSTAT_API void gostat_goexit(void) __attribute__((noreturn));

/*
 * Print the calling thread's stack to buf, or with all the stacks of all threads
 * after it, in the layout of Go's tracebacks. At most len bytes; returns how
 * many. There is no NUL at the end. For all, threads are stopped for less than a
 * millisecond; where that is impossible (seccomp), the caller's is there alone.
 * The first time reads symbol tables from files. Not async-signal-safe; malloc
 * is not called. runtime.Stack.
 */
GOSTAT_API size_t gostat_stack(char *buf, size_t len, bool all);

/*
 * Nothing to do: a thread of C is always locked to itself. There for code that
 * is carried over. runtime.LockOSThread, runtime.UnlockOSThread.
 */
GOSTAT_API void gostat_lock_os_thread(void);
GOSTAT_API void gostat_unlock_os_thread(void);

/*
 * The object at p, and all that it leads to, is no leak, until it is freed. p
 * may point anywhere into the object; other addresses are left alone. No
 * counterpart; LeakSanitizer's __lsan_ignore_object, which is there too.
 */
GOSTAT_API void gostat_ignore_object(const void *p);

/*
 * The same for every object that this thread allocates between the two. They
 * nest. No counterpart; LeakSanitizer's __lsan_disable and __lsan_enable.
 */
GOSTAT_API void gostat_leak_disable(void);
GOSTAT_API void gostat_leak_enable(void);

/*
 * [lo, hi) holds pointers that keep objects alive, and the collector would not
 * find it: memory of a device, or mapped by the program for itself. Adding a
 * range twice counts twice; parts of it may be unmapped. 0, or -1 and errno:
 * EINVAL (lo > hi), ENOMEM; removing: ENOENT (it was not added). No
 * counterpart; LeakSanitizer's __lsan_register_root_region and
 * __lsan_unregister_root_region, which are there too.
 */
GOSTAT_API int gostat_add_roots(const void *lo, const void *hi);
GOSTAT_API int gostat_remove_roots(const void *lo, const void *hi);

/*
 * The object at p is in use at least until here, whatever the optimizer thinks.
 * Works without the library. runtime.KeepAlive.
 */
static inline void gostat_keep_alive(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

#ifdef __cplusplus
}
#endif

#endif
