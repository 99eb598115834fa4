/* SPDX-License-Identifier: MIT */
/*
 * A list whose links are the exclusive or of two addresses looks like a leak,
 * and is reported; to report is all that is done about it. Ignoring each node
 * silences it.
 *
 * truth: report | 99/9504
 * truth: ignore | clean
 */
#include "truth.h"

struct node {
	uintptr_t link;
	char rest[88];
};

static struct node *head;

static NOINLINE void build(bool ignore)
{
	struct node *last = NULL, *before = NULL;

	for (int i = 0; i < 100; i++) {
		struct node *n = calloc(1, sizeof(*n));

		MUST(n);
		memset(n->rest, 0x5a, sizeof(n->rest));
		if (ignore)
			gostat_ignore_object(n);
		if (last)
			last->link = (uintptr_t)before ^ (uintptr_t)n;
		else
			head = n;
		before = last;
		last = n;
	}
	last->link = (uintptr_t)before;
	/* Neither end may lead to its neighbour by itself. */
	head->link = ~head->link;
	last->link = ~last->link;
}

static NOINLINE void walk(void)
{
	struct node *n = head, *before = NULL;
	int count = 0;

	while (n) {
		uintptr_t link = count == 0 || count == 99 ? ~n->link : n->link;
		struct node *next = (struct node *)(link ^ (uintptr_t)before);

		for (size_t i = 0; i < sizeof(n->rest); i++)
			MUST(n->rest[i] == 0x5a);
		before = n;
		n = next;
		count++;
	}
	MUST(count == 100);
}

int main(int argc, char **argv)
{
	build(said(argc, argv, "ignore"));
	clobber();
	now();
	walk();
	for (int i = 0; i < 5; i++)
		free(malloc(100));
	walk();
	clobber();
	return 0;
}
