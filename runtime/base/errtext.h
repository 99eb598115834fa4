/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_ERRTEXT_H
#define GOSTAT_BASE_ERRTEXT_H

/*
 * What an errno value means, in English: "No space left on device". A static
 * string, also for values that are not known. Context: anywhere; libc's
 * strerror() is bound to the locale and may allocate.
 */
const char *errtext(int error);

#endif
