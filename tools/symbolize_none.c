/* SPDX-License-Identifier: MIT */
/*
 * symbolize_none: the build without libdw. Every frame stays an address; with
 * module and build id beside it, other programs can still find its name.
 */
#include "symbolize_dw.h"

struct dw_module *dw_open(
	const char *path UNUSED, const char *build_id UNUSED, const char **why)
{
	*why = "this build is without libdw";
	return NULL;
}

void dw_close(struct dw_module *m UNUSED)
{
}

char *dw_debug_file(const char *build_id UNUSED)
{
	return NULL;
}

size_t dw_frames(struct dw_module *m UNUSED, uint64_t address UNUSED,
	struct dw_frame of[DW_FRAMES_MAX] UNUSED)
{
	return 0;
}

uint64_t dw_address(struct dw_module *m UNUSED, uint64_t file_offset UNUSED)
{
	return UINT64_MAX;
}

const char *dw_version(void)
{
	return "without libdw (no symbols)";
}
