/* SPDX-License-Identifier: MIT */
/*
 * background: scavenging while the program sleeps.
 *
 * The scavenger's windows are a second long; two are enough for anything to be
 * recognised as idle, and a quantum takes about a millisecond. So the helper
 * looks every PERIOD, and PAUSE after a quantum while more is waiting.
 */
#include "observe/background.h"
#include "alloc/scavenge.h"
#include "observe/helper.h"
#include "os/clock.h"

enum { PERIOD_MS = 1500, PAUSE_MS = 10 };

static void look(void *arg);
static struct helper_timer timer = {.fn = look};

static void look(void *arg UNUSED)
{
	int64_t ms = scavenge_tick() ? PAUSE_MS : PERIOD_MS;

	helper_timer_set(&timer, clock_mono_ns() + ms * 1000000);
}

void background_start(void)
{
	look(NULL);
}
