/* SPDX-License-Identifier: MIT */
/*
 * background: scavenging while the program sleeps, and a look at the limits.
 *
 * The scavenger's windows are a second long; two are enough for anything to be
 * recognised as idle, and a quantum takes about a millisecond. So the helper
 * looks every PERIOD, and PAUSE after a quantum while more is waiting.
 *
 * The limits are looked at where the heap grows (limits.c); but a cgroup also
 * fills up by what the program maps by itself, and by other processes.
 */
#include "observe/background.h"
#include "alloc/limits.h"
#include "alloc/scavenge.h"
#include "observe/helper.h"
#include "os/clock.h"

enum { PERIOD_MS = 1500, PAUSE_MS = 10 };

static void look(void *arg);
static struct helper_timer timer = {.fn = look};

static void look(void *arg UNUSED)
{
	int64_t ms = scavenge_tick() ? PAUSE_MS : PERIOD_MS;

	if (ms == PERIOD_MS)
		limits_look_now(true);
	helper_timer_set(&timer, clock_mono_ns() + ms * 1000000);
}

void background_start(void)
{
	look(NULL);
}
