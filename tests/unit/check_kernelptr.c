/* SPDX-License-Identifier: MIT */
/* What the kernel holds, and what a copy of the process would not freeze. */
#include "gc/kernelptr.h"
#include "alloc/heap.h"
#include "gc/unforked.h"
#include "os/syscall.h"
#include "support/collect.h"
#include "support/random.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* -------- shared memory -------- */

/* What is on its way in a ring, only the kernel knows. */
START_TEST(test_rings)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	size_t size = params.sq_off.array + params.sq_entries * 4;
	void *ring;

	if (fd < 0)
		return; /* not on this kernel */
	collect();
	ck_assert_uint_eq(rs.rings, 0);
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		IORING_OFF_SQ_RING);
	ck_assert_ptr_ne(ring, MAP_FAILED);
	close(fd);
	collect();
	ck_assert_uint_eq(rs.rings, 1);
	munmap(ring, size);
	collect();
	ck_assert_uint_eq(rs.rings, 0);
}
END_TEST

START_TEST(test_shared)
{
	const size_t size = (size_t)1 << 30;
	uintptr_t *p = map(size, PROT_READ | PROT_WRITE, MAP_SHARED), *small;
	uintptr_t object = (uintptr_t)heap_malloc(100);
	uintptr_t far = (uintptr_t)map_alone(PAGE, MAP_PRIVATE);

	p[1] = object;
	p[size / 16] = far;
	p[2] = 12345;
	collect();
	ck_assert(has_word(object, ROOT_SHARED));
	ck_assert(has_word(far, ROOT_SHARED));
	ck_assert(!has_word(12345, ROOT_SHARED));
	ck_assert_uint_eq(rs.shared_unfrozen, 0);
	ck_assert_uint_eq(rootset_find(&rs, (uintptr_t)p), SIZE_MAX);
	ck_assert_uint_eq(kinds(p), 0);

	/*
	 * Too much for a pause: the rest is looked at later. Something small
	 * is not.
	 */
	small = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	*small = object + 1;
	for (size_t i = 0; i < 32 << 20; i += PAGE)
		p[i / 8] = object;
	collect();
	ck_assert(has_word(object + 1, ROOT_SHARED));
	ck_assert_uint_gt(rs.shared_unfrozen, 16 << 20);
	ck_assert_uint_lt(rs.shared_unfrozen, 33 << 20);
	ck_assert_uint_eq(kinds(&p[(31 << 20) / 8]), 1u << ROOT_SHARED);

	/* Gone between the list and the stop. */
	ck_assert(roots_prepare(&rs));
	munmap(p, size);
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	roots_freeze(&rs, &w);
	roots_collect(&rs, &w);
	stw_start(&w);
	ck_assert(!has_word(object, ROOT_SHARED));
	ck_assert_ptr_eq(rs.error, NULL);
	roots_free(&rs);
}
END_TEST

/* A file that is only read, and one whose other view was written to. */
START_TEST(test_views)
{
	char name[] = "/tmp/check_roots.XXXXXX";
	uintptr_t object = (uintptr_t)heap_malloc(100);
	int fd[2] = {mkstemp(name), memfd_create("view", 0)};
	const uintptr_t *view[2];

	for (int i = 0; i < 2; i++) {
		uintptr_t word = object + (uintptr_t)i;

		ck_assert_int_eq(pwrite(fd[i], &word, 8, 0), 8);
		view[i] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd[i], 0);
		ck_assert_uint_eq(*view[i], word);
	}
	collect();
	ck_assert(!has_word(object, ROOT_SHARED));
	ck_assert(has_word(object + 1, ROOT_SHARED));
	/* Without a name it may be somebody's code, too. */
	unlink(name);
	collect();
	ck_assert(has_word(object, ROOT_SHARED));
	roots_free(&rs);
}
END_TEST

/* Private, but a copy has not got it, or not its contents. */
START_TEST(test_unforked)
{
	uintptr_t object = (uintptr_t)heap_malloc(100);
	char *p = map_alone(8 * PAGE, MAP_PRIVATE);

	*(uintptr_t *)(p + PAGE) = object;
	*(uintptr_t *)(p + 3 * PAGE) = object + 1;
	*(uintptr_t *)(p + 7 * PAGE) = object + 2;
	madvise(p, 2 * PAGE, MADV_DONTFORK);
	unforked_add((uintptr_t)p, (uintptr_t)p + 2 * PAGE, false);
	madvise(p + 3 * PAGE, PAGE, MADV_WIPEONFORK);
	unforked_add((uintptr_t)p + 3 * PAGE, (uintptr_t)p + 4 * PAGE, false);
	collect();
	ck_assert(has_word(object, ROOT_SHARED));
	ck_assert(has_word(object + 1, ROOT_SHARED));
	ck_assert(!has_word(object + 2, ROOT_SHARED));
	unforked_remove((uintptr_t)p, (uintptr_t)p + 8 * PAGE);
	collect();
	ck_assert(!has_word(object, ROOT_SHARED));
	ck_assert(!has_word(object + 1, ROOT_SHARED));
	/* Gone, and nobody has said so. */
	unforked_add((uintptr_t)p, (uintptr_t)p + 2 * PAGE, false);
	munmap(p, 8 * PAGE);
	collect();
	ck_assert(!has_word(object, ROOT_SHARED));
	roots_free(&rs);
}
END_TEST

/* -------- the kernel -------- */

/* Random entries come and go; the kernel's list is what counts. */
START_TEST(test_epoll)
{
	enum { FDS = 300 };
	struct rng r = rng_init(1);
	uintptr_t model[2][FDS] = {{0}};
	int ep[2] = {epoll_create1(0), epoll_create1(0)};
	int fd[FDS];

	for (int i = 0; i < FDS; i++)
		fd[i] = eventfd(0, 0);
	for (int turn = 0; turn < 5; turn++) {
		for (int i = 0; i < 500; i++) {
			int e = (int)rng_below(&r, 2);
			int f = (int)rng_below(&r, FDS);
			uintptr_t *m = &model[e][f];
			struct epoll_event event = {.events = EPOLLIN,
				.data.u64 = ((uint64_t)0x7654 << 32) +
					    rng_below(&r, 1 << 20) * 16};
			int op = !*m		    ? EPOLL_CTL_ADD
				 : rng_below(&r, 2) ? EPOLL_CTL_MOD
						    : EPOLL_CTL_DEL;

			ck_assert_int_eq(
				epoll_ctl(ep[e], op, fd[f], &event), 0);
			*m = op == EPOLL_CTL_DEL ? 0 : event.data.u64;
		}
		close(fd[turn]); /* takes its entries along */
		model[0][turn] = model[1][turn] = 0;
		fd[turn] = eventfd(0, 0);
		collect();
		for (int i = 0; i < FDS; i++)
			for (int e = 0; e < 2; e++)
				ck_assert(!model[e][i] ||
					  has_word(model[e][i], ROOT_KERNEL));
		for (size_t i = 0; i < rs.words.n; i++) {
			const struct root_word *word = &rootset_words(&rs)[i];
			int e, f;

			if (sscanf(rootset_name(&rs, word->name), "epoll %d:%d",
				    &e, &f) != 2)
				continue;
			MUST(e == ep[0] || e == ep[1]);
			e = e == ep[1];
			for (int j = 0; j < FDS; j++)
				if (fd[j] == f)
					ck_assert_uint_eq(
						model[e][j], word->word);
		}
	}
	roots_free(&rs);
}
END_TEST

/* After the list was read and before the world stands. */
START_TEST(test_epoll_late)
{
	for (unsigned n = 1; n < 10000; n += 5000) {
		int ep = epoll_create1(0), fd = eventfd(0, 0);
		struct epoll_event event = {
			EPOLLIN, {.u64 = (uint64_t)0x765400000000 + n}};

		kernelptr_epoll(ep, fd, event.data.u64); /* nobody listens */
		ck_assert(roots_prepare(&rs));
		ck_assert(!has_word(event.data.u64, ROOT_KERNEL));
		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
		for (unsigned i = 0; i < n; i++)
			kernelptr_epoll(ep, fd, event.data.u64);
		ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
		roots_freeze(&rs, &w);
		stw_start(&w);
		ck_assert(has_word(event.data.u64, ROOT_KERNEL));
		close(ep);
		close(fd);
	}
	roots_free(&rs);
}
END_TEST

START_TEST(test_timer)
{
	uintptr_t value = (uintptr_t)heap_malloc(100);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGUSR2,
		.sigev_value.sival_ptr = (void *)value};
	timer_t t;

	if (access("/proc/self/timers", R_OK))
		return;
	ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &t), 0);
	collect();
	ck_assert(has_word(value, ROOT_KERNEL));
	timer_delete(t);
	collect();
	ck_assert(!has_word(value, ROOT_KERNEL));
	roots_free(&rs);
}
END_TEST

/* What the wrapper of sigqueue() tells. */
static void queue(int signo, uintptr_t value)
{
	union sigval v = {.sival_ptr = (void *)value};

	kernelptr_signal(signo, 0, value);
	ck_assert_int_eq(sigqueue(getpid(), signo, v), 0);
}

START_TEST(test_signal)
{
	uintptr_t a = (uintptr_t)heap_malloc(100), b = a + 16, c = a + 32;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGRTMIN + 2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	queue(SIGRTMIN + 1, a);
	queue(SIGRTMIN + 1, b);
	kernelptr_signal(SIGRTMIN + 2, (int)sys0(SYS_gettid), c);
	pthread_sigqueue(pthread_self(), SIGRTMIN + 2,
		(union sigval){.sival_ptr = (void *)c});
	collect();
	ck_assert(has_word(a, ROOT_KERNEL) && has_word(b, ROOT_KERNEL));
	ck_assert(has_word(c, ROOT_KERNEL));
	sigdelset(&set, SIGRTMIN + 2);
	ck_assert_int_eq(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	ck_assert_int_eq(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	sigaddset(&set, SIGRTMIN + 2);
	collect();
	ck_assert(!has_word(a, ROOT_KERNEL) && !has_word(b, ROOT_KERNEL));
	ck_assert(has_word(c, ROOT_KERNEL));
	ck_assert_int_eq(sigwaitinfo(&set, &info), SIGRTMIN + 2);
	collect();
	ck_assert(!has_word(c, ROOT_KERNEL));
	kernelptr_mq(5, a);
	collect();
	ck_assert(has_word(a, ROOT_KERNEL));
	kernelptr_mq(5, 0);
	collect();
	ck_assert(!has_word(a, ROOT_KERNEL));
	roots_free(&rs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernelptr");
	TCase *tc = new_case(s, "kernelptr");

	seed_init();
	roots_init();
	tcase_add_test(tc, test_shared);
	tcase_add_test(tc, test_rings);
	tcase_add_test(tc, test_views);
	tcase_add_test(tc, test_unforked);
	tcase_add_test(tc, test_epoll);
	tcase_add_test(tc, test_epoll_late);
	tcase_add_test(tc, test_timer);
	tcase_add_test(tc, test_signal);
	return run_suite(s);
}
