/* SPDX-License-Identifier: MIT */
/* deepbind_lib: what deepbind.c opens. It allocates, frees and has TLS. */
#include <stdlib.h>
#include <string.h>

char *lib_make(const char *text);
void lib_drop(char *text);
int lib_count(void);

static __thread char *kept[64];
static __thread unsigned calls;

char *lib_make(const char *text)
{
	free(kept[calls % 64]);
	kept[calls++ % 64] = strdup(text);
	return strdup(text);
}

void lib_drop(char *text)
{
	free(text);
}

int lib_count(void)
{
	return (int)calls;
}
