/* SPDX-License-Identifier: MIT */
/*
 * lsan: LeakSanitizer's annotations under their own names, so that code which
 * carries them is understood as it is. Their meaning is that of the functions
 * of gostat.h.
 */
#include "base/attrs.h"
#include "gc/leakscope.h"

/* sanitizer/lsan_interface.h declares these; it need not be installed. */
void __lsan_ignore_object(const void *p);
void __lsan_disable(void);
void __lsan_enable(void);

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
