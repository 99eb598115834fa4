/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_BACKGROUND_H
#define GOSTAT_OBSERVE_BACKGROUND_H

/*
 * Where there is a helper thread, idle memory goes back to the kernel even if
 * the program never calls malloc again. Call after helper_start(), once or
 * more often; the helper's timer does the rest.
 */
void background_start(void);

#endif
