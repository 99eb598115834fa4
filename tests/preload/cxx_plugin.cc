// SPDX-License-Identifier: MIT
// A C++ library for a C program that knows nothing of libstdc++.
#include <cstddef>
#include <new>

extern "C" int plugin(std::size_t n)
{
	try {
		::operator delete(::operator new(n));
		return 0;
	} catch (std::bad_alloc &) {
		return ::operator new(n, std::nothrow) ? 3 : 1;
	}
}
