/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_SIGNAL_H
#define GOSTAT_PRELOAD_SIGNAL_H

/*
 * Take the signals of GOSTAT_SIGNAL that nobody else has taken. Called once,
 * from the library's constructor: options are parsed, dlsym() may be called.
 */
void signal_init(void);

/*
 * The program is about to restrict its system calls: signals that end the
 * process do so without us. Or it has failed to, and they don't.
 */
void signal_restricted(void);
void signal_unrestricted(void);

#endif
