/* SPDX-License-Identifier: MIT */
/*
 * example: what scripts/run shows when no program is named. Builds a tree of
 * words and two lists, gives most of it back, and forgets some: a list of its
 * own, and the words that a second tree shared with nobody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 20000, LOST_NOTES = 12, NOTE_SIZE = 300, LOST_TREE = 50 };

struct node {
	struct node *left, *right;
	char *word;
	unsigned count;
};

static char *copy(const char *s)
{
	char *p = malloc(strlen(s) + 1);

	return p ? strcpy(p, s) : NULL;
}

static void add(struct node **n, const char *word)
{
	while (*n && strcmp(word, (*n)->word) != 0)
		n = strcmp(word, (*n)->word) < 0 ? &(*n)->left : &(*n)->right;
	if (!*n) {
		*n = calloc(1, sizeof(**n));
		(*n)->word = copy(word);
	}
	(*n)->count++;
}

/* A small generator: the example does the same every time. */
static struct node *tree(int words)
{
	struct node *root = NULL;
	unsigned state = 1;
	char word[32];

	for (int i = 0; i < words; i++) {
		state = state * 1664525u + 1013904223u;
		snprintf(word, sizeof(word), "word-%u", state >> 17);
		add(&root, word);
	}
	return root;
}

static size_t drop(struct node *n)
{
	size_t nodes;

	if (!n)
		return 0;
	nodes = 1 + drop(n->left) + drop(n->right);
	free(n->word);
	free(n);
	return nodes;
}

/* Forgets every note it takes. */
static void take_notes(void)
{
	for (int i = 0; i < LOST_NOTES; i++) {
		char *note = malloc(NOTE_SIZE);

		snprintf(note, NOTE_SIZE, "note %d", i);
	}
}

/* Frees the root of a tree and forgets what hung from it. */
static size_t lose_branches(void)
{
	struct node *root = tree(LOST_TREE);
	size_t kept = 0;

	for (struct node *n = root->left; n; n = n->left)
		kept++;
	free(root->word);
	free(root);
	return kept;
}

int main(void)
{
	struct node *words = tree(WORDS);

	printf("read %d words\n", WORDS);
	take_notes();
	printf("took %d notes and lost them: %d bytes\n", LOST_NOTES,
		LOST_NOTES * NOTE_SIZE);
	printf("freed the root of another tree, its left side %zu deep\n",
		lose_branches());
	printf("gave back %zu different words\n", drop(words));
	return 0;
}
