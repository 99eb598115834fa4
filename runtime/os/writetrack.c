/* SPDX-License-Identifier: MIT */
/*
 * writetrack: userfaultfd's write protection, and nobody who serves faults.
 *
 *	watch    UFFDIO_REGISTER, UFFDIO_WRITEPROTECT (what has memory)
 *	write    the kernel lifts the page's protection and goes on: 0.9 us,
 *	         no signal, no message (UFFD_FEATURE_WP_ASYNC, Linux 6.7)
 *	ask      PAGEMAP_SCAN: watched and still protected
 *
 * The kernel is asked for pages that are the same, not for those that were
 * written. So memory that was unmapped, mapped anew, moved, taken off by
 * somebody who closes descriptors that are not his, or never watched at all
 * counts as written: mistakes are on the safe side.
 *
 * What is not seen: a device that writes to a page which it had been given
 * before that was watched (O_DIRECT, registered buffers). It brings data, not
 * pointers.
 *
 * WRITEPROTECT is asked for only where there is memory: on a hole it would
 * leave markers, and page tables for them. And not PM_SCAN_WP_MATCHING, which
 * passes over pages that have the mark already: kernels before 6.13 leave marks
 * on pages that mremap() has moved, writable.
 *
 * Rejected: soft-dirty bits. Where they are not configured, writing to
 * clear_refs succeeds all the same; and who else uses them (CRIU) would lose
 * count. Rejected: mprotect() and SIGSEGV: 8 us a page, and system calls that
 * fail with EFAULT. Rejected: a list of written pages (PAGE_IS_WRITTEN), for
 * what is not on it would have to be trusted.
 */
#include "os/writetrack.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <fcntl.h>
#include <sys/uio.h>

/* As in <linux/userfaultfd.h>, which may be older than the kernel. */
struct uffd_api {
	uint64_t api, features, ioctls;
};
struct uffd_range {
	uint64_t start, len;
};
struct uffd_register {
	struct uffd_range range;
	uint64_t mode, ioctls;
};
struct uffd_protect {
	struct uffd_range range;
	uint64_t mode;
};
/* Linux 6.7. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof_mask, return_mask;
};

#define UFFDIO_API_IOCTL 0xc018aa3f
#define UFFDIO_REGISTER_IOCTL 0xc020aa00
#define UFFDIO_UNREGISTER_IOCTL 0x8010aa01
#define UFFDIO_WRITEPROTECT_IOCTL 0xc018aa06
#define PAGEMAP_SCAN_IOCTL 0xc0606610

enum {
	USER_MODE_ONLY = 1, /* what anybody may have */
	UFFD = 0xaa,	    /* the API, by its number */
	WP_ASYNC = 1 << 15,
	REGISTER_WP = 1 << 1,
	PROTECT_WP = 1 << 0,

	IS_WATCHED = 1 << 0, /* PAGE_IS_WPALLOWED */
	IS_WRITTEN = 1 << 1,
	IS_PRESENT = 1 << 3,
	IS_SWAPPED = 1 << 4,

	REGIONS = 128, /* for one call */
};

enum writetrack_result writetrack_refuse;

static int self; /* since the last writetrack_begin() */

size_t writetrack_read(void *to, uintptr_t from, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)from, n};
	long got = sys6(SYS_process_vm_readv, self ? self : sys0(SYS_getpid),
		(long)&here, 1, (long)&there, 1, 0);

	return sys_failed(got) ? 0 : (size_t)got;
}

bool writetrack_each(const struct writetrack *t, enum writetrack_which which,
	uintptr_t lo, uintptr_t hi,
	void (*fn)(void *arg, uintptr_t lo, uintptr_t hi), void *arg)
{
	struct scan_region region[REGIONS];
	bool same = which == WRITETRACK_SAME;

	if (!ownfd_valid(&t->pagemap))
		return false;
	while (lo < hi) {
		struct scan a = {.size = sizeof(a),
			.start = lo,
			.end = hi,
			.vec = (uintptr_t)region,
			.vec_len = REGIONS,
			.inverted = same ? IS_WRITTEN : 0,
			.mask = same ? IS_WATCHED | IS_WRITTEN : 0,
			.anyof_mask = same ? 0 : IS_PRESENT | IS_SWAPPED,
			.return_mask = IS_PRESENT};
		long n = sys3(SYS_ioctl, t->pagemap.fd, PAGEMAP_SCAN_IOCTL, &a);

		if (sys_failed(n) || a.walk_end <= lo)
			return false;
		for (long i = 0; i < n; i++)
			fn(arg, region[i].start, region[i].end);
		lo = a.walk_end;
	}
	return true;
}

struct protection {
	const struct writetrack *t;
	bool failed;
};

static void protect(void *arg, uintptr_t lo, uintptr_t hi)
{
	struct protection *p = arg;
	struct uffd_protect a = {{lo, hi - lo}, PROTECT_WP};

	p->failed |= sys_failed(
		sys3(SYS_ioctl, p->t->uffd.fd, UFFDIO_WRITEPROTECT_IOCTL, &a));
}

bool writetrack_again(const struct writetrack *t, uintptr_t lo, uintptr_t hi)
{
	struct protection p = {t, !ownfd_valid(&t->uffd)};

	if (!p.failed)
		protect(&p, lo, hi);
	return !p.failed;
}

static void unwatch(const struct writetrack *t, uintptr_t lo, uintptr_t hi)
{
	struct uffd_range r = {lo, hi - lo};

	sys3(SYS_ioctl, t->uffd.fd, UFFDIO_UNREGISTER_IOCTL, &r);
}

bool writetrack_watch(struct writetrack *t, uintptr_t lo, uintptr_t hi)
{
	struct uffd_register r = {{lo, hi - lo}, REGISTER_WP, 0};
	struct protection p = {t, false};

	if (!ownfd_valid(&t->uffd) || sys_failed(sys3(SYS_ioctl, t->uffd.fd,
					      UFFDIO_REGISTER_IOCTL, &r)))
		return false;
	t->lo = t->hi ? MIN(t->lo, lo) : lo;
	t->hi = MAX(t->hi, hi);
	if (writetrack_each(t, WRITETRACK_MEMORY, lo, hi, protect, &p) &&
		!p.failed)
		return true;
	/* What has no mark of ours must not look as if it had. */
	unwatch(t, lo, hi);
	return false;
}

/* -------- the beginning and the end -------- */

static enum writetrack_result open_both(struct writetrack *t)
{
	struct uffd_api a = {UFFD, WP_ASYNC, 0};

	t->uffd = ownfd_adopt(
		sys1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY));
	if (t->uffd.fd < 0)
		return WRITETRACK_REFUSED;
	if (sys_failed(sys3(SYS_ioctl, t->uffd.fd, UFFDIO_API_IOCTL, &a)))
		return WRITETRACK_OLD;
	t->pagemap = ownfd_adopt(sys4(SYS_openat, AT_FDCWD,
		"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0));
	return t->pagemap.fd < 0 ? WRITETRACK_NO_PAGEMAP : WRITETRACK_OK;
}

static void note(void *first, uintptr_t lo, uintptr_t hi)
{
	uintptr_t *same = first;

	same[0] += lo;
	same[1] += hi;
}

/* Two pages; one of them is written. */
static bool try_out(struct writetrack *t, volatile char *p)
{
	uintptr_t lo = (uintptr_t)p, same[2] = {0, 0}, copy = 0;

	p[0] = p[OS_PAGE] = 1;
	if (!writetrack_watch(t, lo, lo + (size_t)2 * OS_PAGE))
		return false;
	p[0] = 2;
	return writetrack_each(t, WRITETRACK_SAME, lo, lo + (size_t)2 * OS_PAGE,
		       note, same) &&
	       same[0] == lo + OS_PAGE && same[1] == lo + (size_t)2 * OS_PAGE &&
	       writetrack_read(&copy, lo, sizeof(copy)) == sizeof(copy) &&
	       copy == 2;
}

enum writetrack_result writetrack_begin(struct writetrack *t)
{
	enum writetrack_result r;
	char *p;

	*t = (struct writetrack)WRITETRACK_NONE;
	self = (int)sys0(SYS_getpid);
	if (writetrack_refuse)
		return writetrack_refuse;
	p = sysmem_map(NULL, (size_t)2 * OS_PAGE, SYS_GC);
	if (!p)
		return WRITETRACK_NO_MEMORY;
	r = open_both(t);
	if (r == WRITETRACK_OK && !try_out(t, p))
		r = WRITETRACK_FAILED;
	if (t->hi)
		unwatch(t, (uintptr_t)p, (uintptr_t)p + (size_t)2 * OS_PAGE);
	t->lo = t->hi = 0;
	sysmem_unmap(p, (size_t)2 * OS_PAGE, SYS_GC);
	if (r != WRITETRACK_OK)
		writetrack_end(t, false);
	return r;
}

void writetrack_end(struct writetrack *t, bool forked)
{
	/* A process that was forked meanwhile may keep the descriptor open. */
	if (!forked && t->hi && ownfd_valid(&t->uffd))
		unwatch(t, t->lo, t->hi);
	ownfd_close(&t->uffd);
	ownfd_close(&t->pagemap);
	t->lo = t->hi = 0;
}
