/* SPDX-License-Identifier: MIT */
/*
 * debuggee: a small program with something to look at, for debuggers and
 * tracers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct item *next;
	char *text;
};

static __attribute__((noinline)) size_t sum(const struct item *i)
{
	size_t n = 0;

	for (; i; i = i->next)
		n += strlen(i->text);
	return n;
}

static __attribute__((noinline)) size_t inner(const struct item *head)
{
	return sum(head);
}

int main(void)
{
	struct item *head = NULL;
	size_t n;

	for (int i = 0; i < 3000; i++) {
		struct item *item = malloc(sizeof(*item));
		char text[32];

		snprintf(text, sizeof(text), "item %d", i);
		item->text = strdup(text);
		item->next = head;
		head = item;
	}
	n = inner(head);
	while (head) {
		struct item *next = head->next;

		free(head->text);
		free(head);
		head = next;
	}
	printf("%zu\n", n);
	return 0;
}
