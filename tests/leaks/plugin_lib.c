/* SPDX-License-Identifier: MIT */
/* A library to load and unload: with a static, a large TLS block, a leak. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *plugin_static;
__thread void *plugin_tls[1 << 17]; /* 1 MiB */

void **plugin_place(size_t i)
{
	return &plugin_tls[i];
}

/* Put a new object of n bytes into the static. */
void plugin_make(size_t n)
{
	plugin_static = calloc(1, n);
}

void plugin_forget(void)
{
	plugin_static = NULL;
}
