/* SPDX-License-Identifier: MIT */
/*
 * lsan: LeakSanitizer's annotations under their own names, so that code which
 * carries them is understood as it is. Their meaning is that of the functions
 * of gostat.h. The checks are carried out under GOSTAT_LEAKCHECK only: else a
 * program that carries annotations would behave differently.
 */
#include "base/attrs.h"
#include "gc/leakscope.h"
#include "gc/roots.h"
#include "preload/leakcheck.h"

#include <unistd.h>

/* sanitizer/lsan_interface.h declares these; it need not be installed. */
void __lsan_ignore_object(const void *p);
void __lsan_disable(void);
void __lsan_enable(void);
void __lsan_register_root_region(const void *p, size_t size);
void __lsan_unregister_root_region(const void *p, size_t size);
void __lsan_do_leak_check(void);
int __lsan_do_recoverable_leak_check(void);

API void __lsan_ignore_object(const void *p)
{
	leak_ignore_object(p);
}

API void __lsan_disable(void)
{
	leak_disable();
}

API void __lsan_enable(void)
{
	leak_enable();
}

API void __lsan_register_root_region(const void *p, size_t size)
{
	roots_register((uintptr_t)p, (uintptr_t)p + size);
}

API void __lsan_unregister_root_region(const void *p, size_t size)
{
	roots_unregister((uintptr_t)p, (uintptr_t)p + size);
}

/* In place of the check at the end; if there are leaks this is the end. */
API void __lsan_do_leak_check(void)
{
	if (leakcheck_now(true) && leakcheck_status() >= 0)
		_exit(leakcheck_status());
}

API int __lsan_do_recoverable_leak_check(void)
{
	return leakcheck_now(false);
}
