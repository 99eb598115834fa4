/* SPDX-License-Identifier: MIT */
/*
 * stacks OUT SEED POINTS PLUGIN...: leak a block at each of many points that
 * are reached in every way there is, and write what libgcc says of the stack
 * there to OUT, as words: a count, then so many addresses of calls, innermost
 * first. stacks.sh compares with the leak report.
 *
 * Ways: calls with frames of all shapes, callbacks from libc, catch blocks
 * after a throw through many frames, behind longjmp, signal handlers, on the
 * same and on another stack, coroutines, threads, and libraries of which one
 * takes the place of another.
 */
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <functional>
#include <mutex>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define NOINLINE __attribute__((noinline, noclone))

static uint64_t words[1 << 20];
static size_t nwords, points;
static char **plugins;
static int nplugins;
static thread_local unsigned seed;
static thread_local int nested; /* in a way that is not to be nested */

static unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static _Unwind_Reason_Code note(struct _Unwind_Context *c, void *arg)
{
	int before = 0;
	uint64_t ip = _Unwind_GetIPInfo(c, &before);

	if (!ip)
		return _URC_END_OF_STACK;
	words[nwords++] = before ? ip : ip - 1;
	++*(uint64_t *)arg;
	return _URC_NO_REASON;
}

/* Only one thread at a time runs. */
NOINLINE static void point()
{
	uint64_t *n;

	if (!points || nwords + 4096 > sizeof(words) / sizeof(*words))
		return;
	points--;
	memset(malloc(24 + roll(200)), 0, 8);
	n = &words[nwords++];
	*n = 0;
	_Unwind_Backtrace(note, n);
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

static void way(unsigned depth);

NOINLINE static int plain(unsigned depth, int x)
{
	way(depth);
	return x + 1;
}

NOINLINE static int with_alloca(unsigned depth, int x)
{
	char *p = (char *)alloca(16 + roll(600));

	p[0] = (char)x;
	way(depth);
	return p[0];
}

NOINLINE static int realigned(unsigned depth, int x)
{
	alignas(64) char p[128];

	memset(p, x, sizeof(p));
	__asm__ volatile("" ::"r"(p) : "memory");
	way(depth);
	return p[5];
}

NOINLINE static int many_registers(unsigned depth, int x)
{
	int a = x * 3, b = x * 5, c = x * 7, d = x * 11, e = x * 13;

	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
	way(depth);
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
	return a + b + c + d + e;
}

struct thrown {
	int x;
};

NOINLINE static int thrower(unsigned left)
{
	std::function<int(unsigned)> f = thrower;

	if (!left)
		throw thrown{3};
	return f(left - 1) + (int)left;
}

NOINLINE static int caught(unsigned depth, int x)
{
	try {
		x += thrower(1 + roll(9));
	} catch (thrown &t) {
		way(depth);
		x += t.x;
	}
	point();
	return x;
}

static thread_local jmp_buf *back;

NOINLINE static void jumper(unsigned left)
{
	char *p = (char *)alloca(100);

	p[0] = 1;
	point();
	if (!left)
		longjmp(*back, 1);
	jumper(left - 1);
	__asm__ volatile("" ::"r"(p) : "memory");
}

NOINLINE static int jumped(unsigned depth, int x)
{
	jmp_buf here, *outer = back;

	back = &here;
	if (!setjmp(here))
		jumper(roll(6));
	back = outer;
	way(depth);
	return x;
}

static thread_local unsigned compare_depth;

static int compare(const void *a, const void *b)
{
	unsigned d = compare_depth;

	if (d && roll(4) == 0)
		way(d - 1);
	compare_depth = d;
	return *(const int *)a - *(const int *)b;
}

NOINLINE static int sorted(unsigned depth, int x)
{
	int v[6] = {x, 5, 2, 9, 1, x + 3};

	compare_depth = depth;
	qsort(v, 6, sizeof(*v), compare);
	return v[2];
}

static thread_local unsigned handler_depth;

/* From another stack one may not go and come back to it for a signal. */
static void on_signal(int)
{
	nested++;
	way(handler_depth);
	nested--;
}

NOINLINE static int signalled(unsigned depth, int x)
{
	handler_depth = depth;
	raise(roll(2) ? SIGUSR1 : SIGUSR2);
	return x + 2;
}

static ucontext_t main_context, context[3];
static char context_stack[3][256 << 10];

static void coroutine(int k)
{
	for (;;) {
		way(4);
		swapcontext(&context[k], &main_context);
		point();
	}
}

NOINLINE static int switched(unsigned, int x)
{
	int k = (int)roll(3);

	if (nested++ == 0)
		swapcontext(&main_context, &context[k]);
	nested--;
	return x;
}

NOINLINE static int threaded(unsigned depth, int x)
{
	unsigned s = roll(1000000);

	std::thread([=] {
		seed = s;
		nested = 1; /* coroutines are the main thread's */
		way(depth);
	}).join();
	return x;
}

NOINLINE static int plugged(unsigned depth, int x)
{
	void *lib = dlopen(plugins[roll((unsigned)nplugins)], RTLD_NOW);
	auto f = (int (*)(void (*)(unsigned), unsigned))dlsym(lib, "plugged");

	x += f(way, depth);
	dlclose(lib);
	return x;
}

static void way(unsigned depth)
{
	static int (*const ways[])(unsigned, int) = {plain, plain, with_alloca,
		realigned, many_registers, caught, jumped, sorted, signalled,
		switched, plugged, threaded};
	int x = 1;

	if (roll(3) == 0)
		point();
	if (!depth)
		return;
	for (unsigned i = 0, n = 1 + roll(3); i < n; i++) {
		unsigned k = roll(20);

		x += ways[k < 12 ? k : k % 9](depth - 1, x);
	}
	point();
	__asm__ volatile("" ::"r"(x));
}

int main(int argc, char **argv)
{
	struct sigaction sa = {};
	stack_t other = {};
	int fd;

	if (argc < 5)
		return 2;
	seed = (unsigned)atoi(argv[2]);
	points = (size_t)atol(argv[3]);
	plugins = argv + 4;
	nplugins = argc - 4;
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_NODEFER;
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	other.ss_size = 1 << 20;
	other.ss_sp = malloc(other.ss_size);
	sigaltstack(&other, NULL);
	for (int k = 0; k < 3; k++) {
		getcontext(&context[k]);
		context[k].uc_stack.ss_sp = context_stack[k];
		context[k].uc_stack.ss_size = sizeof(context_stack[k]);
		makecontext(&context[k], (void (*)())coroutine, 1, k);
	}
	while (points)
		way(8);
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (write(fd, words, nwords * 8) != (ssize_t)(nwords * 8))
		return 3;
	close(fd);
	/* Other stacks than this one are roots as a whole. */
	memset(context_stack, 0, sizeof(context_stack));
	memset(other.ss_sp, 0, other.ss_size);
	return 0;
}
