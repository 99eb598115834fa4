/* SPDX-License-Identifier: MIT */
/*
 * C++: an array of no elements whose class has a destructor is held past the
 * end of its only word; arrays with a count in front; second bases; what an
 * exception has left.
 *
 * truth: empty | clean
 * truth: array keep | clean
 * truth: array drop | 1/808
 * truth: base keep | clean
 * truth: base drop | 1/48
 * truth: thrown | 1/4242
 * truth: string | clean
 */
#include "truth.h"

#include <string>
#include <vector>

struct element {
	long x;
	~element()
	{
		x = 0;
		gostat_keep_alive(this);
	}
};

struct first {
	long a[2];
	virtual ~first()
	{
	}
};

struct second {
	long b;
	virtual ~second()
	{
	}
};

struct both : first, second {
	long c;
};

void *root;
std::vector<std::string> *strings;

static NOINLINE void array(size_t n)
{
	root = new element[n];
}

static NOINLINE void base()
{
	second *s = new both;

	root = s;
}

static NOINLINE void thrower()
{
	void *volatile p = operator new(MARKER);

	if (p)
		throw 5;
}

int main(int argc, char **argv)
{
	if (said(argc, argv, "empty"))
		array(0);
	if (said(argc, argv, "array"))
		array(100);
	if (said(argc, argv, "base"))
		base();
	if (said(argc, argv, "string")) {
		strings = new std::vector<std::string>;
		for (int i = 0; i < 100; i++)
			strings->push_back(std::string(100 + i, 'x'));
	}
	if (said(argc, argv, "thrown"))
		try {
			thrower();
		} catch (int i) {
			MUST(i == 5);
		}
	if (said(argc, argv, "drop"))
		root = NULL;
	clobber();
	now();
	return 0;
}
