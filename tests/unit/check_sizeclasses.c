/* SPDX-License-Identifier: MIT */
/* The generated table against its definition, and against Go's. */
#include "alloc/mspan.h"
#include "support/run.h"

/* Go's sizes, and the worst waste of its spans in hundredths of a percent. */
static const struct {
	unsigned bytes, waste;
} go[NSIZECLASS] = {
	{0, 0}, {8, 8750}, {16, 4375}, {24, 2924}, {32, 2188}, {48, 3152},
	{64, 2344}, {80, 1907}, {96, 1595}, {112, 1356}, {128, 1172},
	{144, 1182}, {160, 973}, {176, 959}, {192, 925}, {208, 812},
	{224, 815}, {240, 662}, {256, 586}, {288, 1216}, {320, 1180},
	{352, 988}, {384, 951}, {416, 1071}, {448, 837}, {480, 682},
	{512, 605}, {576, 1233}, {640, 1548}, {704, 1393}, {768, 1394},
	{896, 1552}, {1024, 1240}, {1152, 1241}, {1280, 1555}, {1408, 1400},
	{1536, 1400}, {1792, 1557}, {2048, 1245}, {2304, 1246}, {2688, 1559},
	{3072, 1247}, {3200, 622}, {3456, 883}, {4096, 1560}, {4864, 1665},
	{5376, 1092}, {6144, 1248}, {6528, 623}, {6784, 436}, {6912, 337},
	{8192, 1561}, {9472, 1428}, {9728, 364}, {10240, 499}, {10880, 624},
	{12288, 1145}, {13568, 999}, {14336, 535}, {16384, 1249},
	{18432, 1111}, {19072, 357}, {20480, 687}, {21760, 625}, {24576, 1145},
	{27264, 1000}, {28672, 491}, {32768, 1250},
};

/* By the definition: the smallest class that holds the request, never 3. */
static unsigned smallest(unsigned size)
{
	unsigned c = 1;

	while (sizeclasses[c].size < size || c == 3)
		c++;
	return c;
}

START_TEST(sizes_are_gos)
{
	for (unsigned c = 0; c < NSIZECLASS; c++)
		ck_assert_uint_eq(sizeclasses[c].size, go[c].bytes);
}
END_TEST

START_TEST(every_request_fits_best)
{
	for (unsigned size = 0; size <= MAX_SMALL; size++) {
		unsigned want = smallest(size);

		if (size <= 1024)
			MUST_EQ(class_by_8[(size + 7) / 8], want);
		/* The coarse table is for what the fine one lacks. */
		if (size > 1024)
			MUST_EQ(class_by_128[(size + 127) / 128], want);
	}
}
END_TEST

START_TEST(every_alignment_fits_best)
{
	for (size_t align = 1; align <= 2 * PAGE_SIZE; align *= 2) {
		for (unsigned want = 0; want <= MAX_SMALL; want++) {
			unsigned c = smallest(want);

			while (c < NSIZECLASS &&
				(sizeclasses[c].align < align || c == 3))
				c++;
			MUST_EQ(sizeclass_for(align, want), c);
		}
		MUST_EQ(sizeclass_for(align, MAX_SMALL + 1), NSIZECLASS);
	}
}
END_TEST

START_TEST(index_by_multiplication)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		const struct sizeclass *k = &sizeclasses[c];
		struct mspan s = {.base = 0x7000000000,
			.npages = k->npages,
			.magic = k->magic,
			.elemsize_small = k->size};

		for (uint32_t off = 0; off < mspan_bytes(&s); off++)
			MUST_EQ(mspan_index(&s, s.base + off), off / k->size);
		ck_assert_uint_eq(mspan_elemsize(&s), k->size);
	}
}
END_TEST

START_TEST(slots_are_aligned)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		const struct sizeclass *k = &sizeclasses[c];
		uint32_t common = PAGE_SIZE; /* where spans begin */

		for (uint32_t i = 0; i < k->nelems; i++)
			while (i * k->size % common)
				common /= 2;
		ck_assert_uint_eq(k->align, common);
		ck_assert(k->align >= 16 || c == 1 || c == 3);
	}
}
END_TEST

START_TEST(spans_are_used)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		const struct sizeclass *k = &sizeclasses[c];
		uint32_t bytes = k->npages * PAGE_SIZE, below, worst;
		uint32_t tail = bytes - k->nelems * k->size;

		ck_assert_uint_eq(k->nelems, bytes / k->size);
		ck_assert_uint_le(k->nelems, MAX_SLOTS);
		ck_assert_uint_le(tail * 100, bytes); /* 1 % */
		for (uint32_t n = k->least; n < k->npages; n += k->least)
			ck_assert_uint_le(
				n * PAGE_SIZE % k->size * 8, n * PAGE_SIZE);
		below = sizeclasses[c == 4 ? 2 : c - 1].size;
		worst = tail + k->nelems * (k->size - below - 1);
		/* Class 4 serves the requests of 3 as well. */
		if (c != 4)
			ck_assert_uint_le((uint64_t)worst * 10000 / bytes,
				go[c].waste);
		if (k->size > 128)
			ck_assert_uint_le(worst * 100 / bytes, 15);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sizeclasses");
	TCase *tc = new_case(s, "sizeclasses");

	tcase_add_test(tc, sizes_are_gos);
	tcase_add_test(tc, every_request_fits_best);
	tcase_add_test(tc, every_alignment_fits_best);
	tcase_add_test(tc, index_by_multiplication);
	tcase_add_test(tc, slots_are_aligned);
	tcase_add_test(tc, spans_are_used);
	return run_suite(s);
}
