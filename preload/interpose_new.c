/* SPDX-License-Identifier: MIT */
/*
 * interpose_new: C++ operator new and delete, without a C++ run-time.
 *
 *	new ---hit--> done
 *	    ---miss-> heap --NULL--> new_handler? --yes--> call it, try again
 *	                                          --no---> throw std::bad_alloc
 *	delete = free, in all forms: the size helps GOSTAT_HARDEN only
 *
 * The names are written as the Itanium ABI mangles them: w and a are new and
 * new[], l and a delete and delete[], m is size_t.
 *
 * Linking libstdc++ would put it into every process. Where C++ is at work it
 * is there already, so the two functions needed are looked up when memory has
 * run out: among the libraries of the program, else (a plugin opened with
 * RTLD_LOCAL brought it) by its name. They are libstdc++'s own, never those
 * of another allocator that is linked in, whose operator new would hand out
 * memory of a heap we don't know.
 *
 * A handler may throw, and nothrow new has to catch that. C can't, libstdc++'s
 * nothrow form can: it calls plain operator new, which is ours.
 *
 * Exceptions pass through the frames here, so the file is compiled with
 * -fexceptions. No lock is held while a handler runs.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"
#include "base/fatal.h"

#include <dlfcn.h>
#include <errno.h>

typedef void (*new_handler)(void);

/* What a C++ run-time gives; NULL where there is none. */
struct cxx {
	new_handler (*get_new_handler)(void);
	void (*throw_bad_alloc)(void);
	void *lib; /* the library they are in */
};

/* lib is NULL, or the handle of a library that is loaded anyway. */
static bool lookup(struct cxx *cxx, void *lib)
{
	cxx->get_new_handler = (new_handler(*)(void))dlsym(
		lib ? lib : RTLD_DEFAULT, "_ZSt15get_new_handlerv");
	cxx->throw_bad_alloc = (void (*)(void))dlsym(
		lib ? lib : RTLD_DEFAULT, "_ZSt17__throw_bad_allocv");
	cxx->lib = lib;
	return cxx->throw_bad_alloc != NULL;
}

/* Memory has run out, so there is time to look each time anew. */
static bool find_cxx(struct cxx *cxx)
{
	static const char *const names[] = {"libstdc++.so.6", "libc++.so.1"};
	Dl_info where;

	if (lookup(cxx, NULL)) {
		if (dladdr((void *)cxx->throw_bad_alloc, &where))
			cxx->lib = dl_borrow(where.dli_fname);
		return true;
	}
	for (unsigned i = 0; i < NELEM(names); i++) {
		void *lib = dl_borrow(names[i]);

		if (lib && lookup(cxx, lib))
			return true;
	}
	return false;
}

static bool valid(size_t align)
{
	return align && !(align & (align - 1));
}

/* align 0: the plain forms. NULL also for an alignment that cannot be. */
static void *try(size_t size, size_t align)
{
	if (!align)
		return heap_malloc_slow(size);
	return valid(align) ? heap_memalign(align, size) : NULL;
}

/* Nothing was to be had: ask the handler and try again, or throw. */
COLD static void *must_have(size_t size, size_t align)
{
	struct cxx cxx;
	void *p = NULL;

	if (!find_cxx(&cxx))
		fatal("operator new(%zu): out of memory, and no C++ run-time "
		      "to throw std::bad_alloc",
			size);
	while (!p) {
		new_handler handler = NULL;

		if (cxx.get_new_handler && (!align || valid(align)))
			handler = cxx.get_new_handler();
		if (!handler) {
			cxx.throw_bad_alloc();
			__builtin_unreachable();
		}
		handler();
		p = try(size, align);
	}
	return p;
}

/*
 * Nothing was to be had, and the caller wants NULL rather than an exception.
 * form is the mangled name of its operator.
 */
COLD static void *may_lack(
	size_t size, size_t align, const struct nothrow *tag, const char *form)
{
	struct cxx cxx;
	void *real;

	if (!find_cxx(&cxx) || !cxx.get_new_handler || !cxx.get_new_handler())
		return NULL;
	real = cxx.lib ? dlsym(cxx.lib, form) : NULL;
	if (!real)
		return NULL;
	if (!align)
		return ((void *(*)(size_t, const struct nothrow *))real)(
			size, tag);
	return ((void *(*)(size_t, size_t, const struct nothrow *))real)(
		size, align, tag);
}

NOINLINE static void *new_slow(size_t size)
{
	void *p = heap_malloc_slow(size);

	return likely(p != NULL) ? p : must_have(size, 0);
}

NOINLINE static void *new_mid(size_t size)
{
	void *p = heap_malloc_mid(size);

	return likely(p != NULL) ? p : must_have(size, 0);
}

API HOT void *_Znwm(size_t size)
{
	if (likely(size <= SMALL_MAX)) {
		void *p = heap_pop(size);

		return likely(p != NULL) ? p : new_slow(size);
	}
	return new_mid(size);
}

API void *_Znam(size_t size) SAME_AS(_Znwm);

NOINLINE static void *nothrow_slow(size_t size, const struct nothrow *tag)
{
	void *p = heap_malloc_slow(size);

	return likely(p != NULL)
		       ? p
		       : may_lack(size, 0, tag, "_ZnwmRKSt9nothrow_t");
}

NOINLINE static void *nothrow_mid(size_t size, const struct nothrow *tag)
{
	void *p = heap_malloc_mid(size);

	return likely(p != NULL)
		       ? p
		       : may_lack(size, 0, tag, "_ZnwmRKSt9nothrow_t");
}

API HOT void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag)
{
	if (likely(size <= SMALL_MAX)) {
		void *p = heap_pop(size);

		return likely(p != NULL) ? p : nothrow_slow(size, tag);
	}
	return nothrow_mid(size, tag);
}

API void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag)
	SAME_AS(_ZnwmRKSt9nothrow_t);

API void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
	void *p = valid(align) ? heap_memalign(align, size) : NULL;

	return likely(p != NULL) ? p : must_have(size, align);
}

API void *_ZnamSt11align_val_t(size_t size, size_t align)
	SAME_AS(_ZnwmSt11align_val_t);

API void *_ZnwmSt11align_val_tRKSt9nothrow_t(
	size_t size, size_t align, const struct nothrow *tag)
{
	void *p;

	if (!valid(align))
		return NULL;
	p = heap_memalign(align, size);
	return likely(p != NULL)
		       ? p
		       : may_lack(size, align, tag,
				 "_ZnwmSt11align_val_tRKSt9nothrow_t");
}

API void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align,
	const struct nothrow *tag) SAME_AS(_ZnwmSt11align_val_tRKSt9nothrow_t);

API HOT void _ZdlPv(void *p)
{
	heap_free(p);
}

API HOT void _ZdlPvm(void *p, size_t size)
{
	heap_free_sized(p, size);
}

/* What else follows the pointer (alignment, nothrow) stays unread. */
#define DELETE(name) API void name(void *p) SAME_AS(_ZdlPv)
#define SIZED_DELETE(name) API void name(void *p, size_t size) SAME_AS(_ZdlPvm)

DELETE(_ZdlPvRKSt9nothrow_t);
DELETE(_ZdlPvSt11align_val_t);
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t);
DELETE(_ZdaPv);
DELETE(_ZdaPvRKSt9nothrow_t);
DELETE(_ZdaPvSt11align_val_t);
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t);
SIZED_DELETE(_ZdaPvm);
SIZED_DELETE(_ZdlPvmSt11align_val_t);
SIZED_DELETE(_ZdaPvmSt11align_val_t);
