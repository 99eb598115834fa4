/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_SIGNAL_H
#define GOSTAT_PRELOAD_SIGNAL_H

/*
 * Take the signals of GOSTAT_SIGNAL that nobody else has taken. Called once,
 * from the library's constructor: options are parsed, dlsym() may be called.
 */
void signal_init(void);

#endif
