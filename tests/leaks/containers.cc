/* SPDX-License-Identifier: MIT */
/*
 * C++ at work: containers that are held, a ring of shared pointers that is not,
 * a thread with a closure, an exception in flight, a base class that forgets
 * its virtual destructor's work.
 *
 * truth: held | clean
 * truth: ring | 1/24+3/72
 * truth: thread | clean
 * truth: flight | clean
 * truth: caught | 1/4242
 */
#include "truth.h"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

struct held {
	std::map<int, std::string> map;
	std::unordered_map<std::string, std::list<int>> table;
	std::deque<std::unique_ptr<char[]>> deque;
	std::function<void()> closure;
};

struct linked {
	std::shared_ptr<linked> other;
	long value;
};

struct error {
	void *p;
};

static held *all;
static volatile bool ready, over = true;

static NOINLINE void fill()
{
	std::string text(1000, 'x');

	all = new held;
	for (int i = 0; i < 1000; i++) {
		std::string key = std::to_string(i) + " and more than fits";

		all->map[i] = key;
		all->table[key].push_back(i);
		all->deque.emplace_back(new char[100]);
		if (i % 3 == 0)
			all->deque.pop_front();
	}
	all->closure = [text] { MUST(text.size() == 1000); };
}

static NOINLINE void ring()
{
	std::shared_ptr<linked> a(new linked), b(new linked);

	static_assert(sizeof(linked) == 24, "as its counters");
	a->other = b;
	b->other = a;
}

static NOINLINE void start()
{
	std::string text(1000, 'y');

	std::thread([text] {
		ready = text.size() == 1000;
		for (;;)
			pause();
	}).detach();
	while (!ready)
		;
}

struct look_on_the_way {
	~look_on_the_way()
	{
		clobber();
		now();
		if (over)
			_exit(0);
	}
};

static NOINLINE void thrower()
{
	throw error{operator new(MARKER)};
}

static NOINLINE void in_flight()
{
	look_on_the_way look;

	thrower();
}

int main(int argc, char **argv)
{
	if (said(argc, argv, "held"))
		fill();
	if (said(argc, argv, "ring"))
		ring();
	if (said(argc, argv, "thread"))
		start();
	try {
		if (said(argc, argv, "flight"))
			in_flight();
		if (said(argc, argv, "caught"))
			thrower();
	} catch (error &e) {
		MUST(e.p);
	}
	clobber();
	now();
	return 0;
}
