// SPDX-License-Identifier: MIT
// Functions in functions: templates, lambdas, members, namespaces, several of
// them inlined into one another.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace shop
{
struct Basket {
	std::vector<std::string> items;

	explicit Basket(int n)
	{
		for (int i = 0; i < n; i++)
			add("item " + std::to_string(i));
	}

	void add(const std::string &s);
	template <typename T> inline size_t count(T keep) const
	{
		size_t n = 0;

		for (const std::string &s : items)
			if (keep(s))
				n++;
		return n;
	}
};

void Basket::add(const std::string &s)
{
	items.push_back(s);
}

inline int *grab(size_t n)
{
	int *p = static_cast<int *>(malloc(n * sizeof(int)));

	if (!p)
		abort();
	return p;
}

inline int *grab_twice(size_t n)
{
	free(grab(n));
	return grab(2 * n);
}

__attribute__((noinline)) int *pay(size_t n)
{
	int *p = grab_twice(n);

	p[0] = static_cast<int>(n);
	return p;
}
}

extern "C" __attribute__((noinline)) size_t c_name(const shop::Basket &b)
{
	std::map<size_t, size_t> lengths;

	for (auto &s : b.items)
		lengths[s.size()]++;
	return lengths.size();
}

int main(int argc, char **)
{
	shop::Basket b(argc + 10);
	int *p = shop::pay(static_cast<size_t>(argc));
	size_t n = b.count([argc](const std::string &s) {
		return s.size() > static_cast<size_t>(argc) + 5;
	});

	printf("%zu %zu %d\n", n, c_name(b), p[0]);
	free(p);
	return 0;
}
