// SPDX-License-Identifier: MIT
//
// operator new and delete in all their forms. Run without the library first:
// libstdc++ is the model. With an argument: how many bytes GOSTAT_MAXHEAP or
// ulimit leave to allocate.
#include "check.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

const size_t silly = PTRDIFF_MAX - 4096;
volatile size_t opaque = silly;

int called;

void gives_up()
{
	if (++called == 3)
		std::set_new_handler(nullptr);
}

struct Custom : std::bad_alloc {
};

void throws()
{
	called++;
	throw Custom();
}

// Frees a reserve: the second try must succeed.
std::vector<char *> reserve;

void releases()
{
	called++;
	if (reserve.empty()) {
		std::set_new_handler(nullptr);
		return;
	}
	delete[] reserve.back();
	reserve.pop_back();
}

// Destructors on the way must run.
struct Witness {
	int *n;
	~Witness() { ++*n; }
};

template <typename F> bool throws_bad_alloc(F f)
{
	int unwound = 0;

	try {
		Witness w{&unwound};
		f();
	} catch (std::bad_alloc &e) {
		CHECK(strstr(e.what(), "bad_alloc"));
		return unwound == 1;
	}
	return false;
}

typedef std::align_val_t A;

// What has no operator in the language is called by its name.
void check_failure(size_t n)
{
	CHECK(throws_bad_alloc([&] { return ::operator new(n); }));
	CHECK(throws_bad_alloc([&] { return ::operator new[](n); }));
	CHECK(throws_bad_alloc([&] { return ::operator new(n, A(64)); }));
	CHECK(throws_bad_alloc([&] { return ::operator new[](n, A(64)); }));
	CHECK(!::operator new(n, std::nothrow));
	CHECK(!::operator new[](n, std::nothrow));
	CHECK(!::operator new(n, A(64), std::nothrow));
	CHECK(!::operator new[](n, A(64), std::nothrow));
}

template <typename F> void check_handler(F f)
{
	called = 0;
	std::set_new_handler(gives_up);
	f();
	CHECK(called == 3 && !std::get_new_handler());
}

void check_handlers(size_t n)
{
	check_handler([&] {
		CHECK(throws_bad_alloc([&] { return ::operator new(n); }));
	});
	check_handler([&] {
		CHECK(throws_bad_alloc([&] { return ::operator new[](n); }));
	});
	check_handler([&] {
		CHECK(throws_bad_alloc([&] { return ::operator new(n, A(64)); }));
	});
	check_handler([&] { CHECK(!::operator new(n, std::nothrow)); });
	check_handler([&] { CHECK(!::operator new[](n, std::nothrow)); });
	check_handler([&] { CHECK(!::operator new(n, A(64), std::nothrow)); });
	check_handler([&] { CHECK(!::operator new[](n, A(64), std::nothrow)); });

	std::set_new_handler(throws);
	called = 0;
	try {
		static_cast<void>(::operator new(n));
		CHECK(!"no exception");
	} catch (Custom &) {
	}
	CHECK(!::operator new(n, std::nothrow) && called == 2);
	CHECK(!::operator new[](n, std::nothrow) && called == 3);
	CHECK(!::operator new(n, A(64), std::nothrow) && called == 4);
	CHECK(!::operator new[](n, A(64), std::nothrow) && called == 5);
	std::set_new_handler(nullptr);
}

void check_success()
{
	for (size_t n = 0; n < 5000000; n = n * 2 + 1) {
		void *p[8];

		p[0] = ::operator new(n);
		p[1] = ::operator new[](n);
		p[2] = ::operator new(n, std::nothrow);
		p[3] = ::operator new[](n, std::nothrow);
		p[4] = ::operator new(n, A(64));
		p[5] = ::operator new[](n, A(4096));
		p[6] = ::operator new(n, A(32), std::nothrow);
		p[7] = ::operator new[](n, A(1 << 16), std::nothrow);
		for (int i = 0; i < 8; i++) {
			CHECK(p[i]);
			memset(p[i], i, n);
			for (int k = 0; k < i; k++)
				CHECK(p[k] != p[i]);
		}
		CHECK((uintptr_t)p[4] % 64 == 0 && (uintptr_t)p[5] % 4096 == 0);
		CHECK((uintptr_t)p[6] % 32 == 0 && (uintptr_t)p[7] % 65536 == 0);
		::operator delete(p[0], n);
		::operator delete[](p[1], n);
		::operator delete(p[2], std::nothrow);
		::operator delete[](p[3], std::nothrow);
		::operator delete(p[4], n, A(64));
		::operator delete[](p[5], n, A(4096));
		::operator delete(p[6], A(32), std::nothrow);
		::operator delete[](p[7], A(1 << 16), std::nothrow);
		::operator delete(::operator new(n, A(64)), A(64));
		::operator delete[](::operator new[](n, A(64)), A(64));
		::operator delete(::operator new(n));
		::operator delete[](::operator new[](n));
	}
	::operator delete(nullptr);
	::operator delete[](nullptr);
}

// A limit that real requests run into; small ones too.
void check_limit(size_t room)
{
	std::vector<char *> all;
	const size_t piece = 1 << 16;

	all.reserve(room / piece * 2);
	CHECK(throws_bad_alloc([&] {
		for (;;)
			all.push_back(new char[piece]);
	}));
	CHECK(all.size() > room / piece / 2);
	for (int i = 0; i < 20; i++) {
		reserve.push_back(all.back());
		all.pop_back();
	}
	called = 0;
	std::set_new_handler(releases);
	for (int i = 0; i < 5; i++)
		all.push_back(new char[piece]);
	CHECK(called >= 5 && called <= 20);
	std::set_new_handler(nullptr);
	for (auto p : all)
		delete[] p;
	for (auto p : reserve)
		delete[] p;
	delete[] new char[room / 2];
}

} // namespace

int main(int argc, char **argv)
{
	check_success();
	check_failure(opaque);
	check_handlers(opaque);
	if (argc > 1)
		check_limit(strtoul(argv[1], nullptr, 0));
	return 0;
}
