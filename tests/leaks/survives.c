/* SPDX-License-Identifier: MIT */
/*
 * Reporting changes nothing: leaked objects keep their contents, can be freed
 * afterwards, and are no leak then; errno and signals stay as they are.
 *
 * truth: keep | 50/212100
 * truth: free | clean reclaim=no
 */
#include "truth.h"

#include <errno.h>
#include <signal.h>

static cookie c[50];

int main(int argc, char **argv)
{
	sigset_t before, after = {0};

	for (int i = 0; i < 50; i++)
		c[i] = make(MARKER);
	clobber();
	memset(&before, 0, sizeof(before));
	sigaddset(&before, SIGUSR2);
	MUST(!sigprocmask(SIG_SETMASK, &before, NULL));
	errno = 1234;
	for (int i = 0; i < 3; i++)
		MUST(!gostat_available() || gostat_find_leaks(NULL) == 50);
	MUST(errno == 1234);
	MUST(!sigprocmask(SIG_SETMASK, NULL, &after));
	MUST(!memcmp(&before, &after, sizeof(before)));
	for (int i = 0; i < 50; i++)
		untouched(c[i], MARKER);
	for (int i = 0; i < 50 && said(argc, argv, "free"); i++)
		drop(c[i]);
	clobber();
	now();
	return 0;
}
