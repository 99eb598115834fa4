/* SPDX-License-Identifier: MIT */
/*
 * An address at an odd address: in a packed structure, global and in an object.
 * One behind a four-byte integer is found without being asked for.
 *
 * truth: half global | clean
 * truth: half heap | clean
 * truth: half page | clean
 * truth: global | 1/4242
 * truth: global | clean env=GOSTAT_UNALIGNED=1
 * truth: global | clean env=LSAN_OPTIONS=use_unaligned=1
 * truth: heap | 1/4242
 * truth: heap | clean env=GOSTAT_UNALIGNED=1
 * truth: page | 1/4242
 * truth: page | clean env=GOSTAT_UNALIGNED=1
 */
#include "truth.h"

static struct {
	char c;
	void *p;
} __attribute__((packed)) packed;

static struct {
	int i;
	void *p;
} __attribute__((packed)) half;

void *root;
static char pages[3 * 4096] __attribute__((aligned(4096)));

int main(int argc, char **argv)
{
	cookie c = make(MARKER), outer;

	bool four = said(argc, argv, "half");

	if (said(argc, argv, "heap")) {
		outer = make(500);
		tie(outer, four ? 332 : 333, c);
		put(&root, outer, 0);
	} else if (said(argc, argv, "page")) {
		put(pages + 8192 - (four ? 4 : 3), c, 0); /* in two pages */
	} else {
		put(four ? (void *)&half.p : (void *)&packed.p, c, 0);
	}
	outer = 0;
	clobber();
	now();
	return 0;
}
