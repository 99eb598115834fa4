/* SPDX-License-Identifier: MIT */
/*
 * cfi_find() against readelf's reading of the same tables, and the calculator
 * for expressions against results worked out by hand.
 */
#include "profile/unwind_cfi.h"
#include "profile/modules.h"
#include "profile/unwind_dwarf.h"
#include "profile/unwind_expr.h"
#include "profile/unwind_rule.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* As readelf spells a register's rule: "u", "s", "c-16", "exp", "vexp". */
static const char *spell(const struct cfi_row *row, int reg, char buf[32])
{
	switch ((enum cfi_how)row->how[reg]) {
	case CFI_SAME:
		return "s";
	case CFI_UNDEFINED:
		return "u";
	case CFI_AT_CFA:
		snprintf(buf, 32, "c%+ld", row->arg[reg]);
		return buf;
	case CFI_IS_CFA:
		snprintf(buf, 32, "v%+ld", row->arg[reg]);
		return buf;
	case CFI_REGISTER:
		return "reg";
	case CFI_AT_EXPR:
		return "exp";
	case CFI_IS_EXPR:
		return "vexp";
	}
	return "?";
}

static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi",
	"rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	"ra"};

static int number(const char *name)
{
	for (int i = 0; i < CFI_NREG; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

static void spell_cfa(const struct cfi_row *row, char buf[32])
{
	if (row->cfa_how == CFI_IS_EXPR)
		strcpy(buf, "exp");
	else
		snprintf(buf, 32, "%s%+ld", names[row->cfa_reg], row->cfa_arg);
}

/* One table of readelf -wF: a line of column names, then a line for each row.
 */
struct table {
	int column[20], n;
};

static void read_columns(struct table *t, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save);

	/* LOC CFA, then registers */
	word = strtok_r(NULL, " \n", &save);
	for (t->n = 0; (word = strtok_r(NULL, " \n", &save)) && t->n < 20;)
		t->column[t->n++] = number(word);
}

static void compare_row(const struct table *t, uintptr_t bias, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save), buf[32];
	uintptr_t at = bias + strtoul(word, NULL, 16);
	struct cfi_row row;

	ck_assert_msg(cfi_find(at, &row), "no row at %s", word);
	spell_cfa(&row, buf);
	ck_assert_str_eq(buf, strtok_r(NULL, " \n", &save));
	for (int i = 0; i < t->n; i++) {
		const char *theirs = strtok_r(NULL, " \n", &save), *ours;

		if (theirs[0] == 'r') /* "r10 (r10)", "r3 (rbx)" */
			theirs = strtok_r(NULL, " ()\n", &save);
		if (t->column[i] < 0) /* a register that we don't follow */
			continue;
		ours = spell(&row, t->column[i], buf);
		/* readelf says u for "not mentioned yet". */
		if (!strcmp(theirs, "u") && !strcmp(ours, "s"))
			continue;
		if (!strcmp(ours, "reg"))
			ours = names[row.arg[t->column[i]]];
		ck_assert_str_eq(ours, theirs);
	}
}

/* Every third function of a module, every row of it. */
static size_t compare_module(const struct module *m)
{
	static const char hex[] = "0123456789abcdef";
	char cmd[4200], line[1024];
	struct table t = {.n = 0};
	size_t nrows = 0, nfde = 0;
	bool wanted = false;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		"readelf -W --debug-dump=frames-interp '%s' 2>/dev/null",
		m->path);
	f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, " FDE "))
			wanted = nfde++ % 3 == 0;
		else if (strstr(line, " CIE"))
			wanted = false;
		if (!strncmp(line, "   LOC", 6)) {
			read_columns(&t, line);
		} else if (wanted && strspn(line, hex) == 16) {
			compare_row(&t, m->bias, line);
			nrows++;
		}
	}
	pclose(f);
	return nrows;
}

START_TEST(readelf_agrees)
{
	size_t nrows = 0;

	modules_refresh();
	ck_assert_uint_gt(modules_count(), 2);
	for (size_t i = 0; i < modules_count(); i++)
		if (modules_at(i)->path[0] == '/')
			nrows += compare_module(modules_at(i));
	ck_assert_uint_gt(nrows, 5000);
}
END_TEST

static int data[100];

START_TEST(not_code)
{
	struct cfi_row row;

	ck_assert(!cfi_find(0, &row));
	ck_assert(!cfi_find((uintptr_t)&row, &row));
	ck_assert(!cfi_find((uintptr_t)data, &row));
	ck_assert(!cfi_find(UINTPTR_MAX, &row));
	ck_assert(!cfi_known((uintptr_t)&row));
	ck_assert(cfi_known((uintptr_t)&cfi_find));
	ck_assert(cfi_known((uintptr_t)data));
}
END_TEST

/* Expressions: length, then code. */
static const struct {
	uint8_t code[24];
	uint8_t kind, reg;
	intptr_t off, add;
} formulas[] = {
	/* breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus */
	{{11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22},
		EXPR_REG, 7, 0, 16}, /* pc ends in 0xb */
	{{3, 0x77, 0xa0, 0x01}, EXPR_REG, 7, 0, 160},
	{{4, 0x77, 0xa0, 0x01, 0x06}, EXPR_LOAD, 7, 160, 0},
	{{3, 0x76, 0x78, 0x06}, EXPR_LOAD, 6, -8, 0},
	{{5, 0x77, 0x28, 0x06, 0x23, 0x08}, EXPR_LOAD, 7, 40, 8},
	/* lit4 breg6 2 plus: the formula may be the second operand */
	{{4, 0x34, 0x76, 2, 0x22}, EXPR_REG, 6, 0, 6},
	/* breg3 5, const1u 7, minus */
	{{5, 0x73, 5, 0x08, 7, 0x1c}, EXPR_REG, 3, 0, -2},
	/* numbers: const2s -2, abs; const1s -3, neg; lit7 not */
	{{4, 0x0b, 0xfe, 0xff, 0x19}, EXPR_NUMBER, 0, 0, 2},
	{{3, 0x09, 0xfd, 0x1f}, EXPR_NUMBER, 0, 0, 3},
	{{2, 0x37, 0x20}, EXPR_NUMBER, 0, 0, ~7},
	/* lit9 lit2 div; lit9 lit5 mod; lit3 lit5 mul; lit8 lit2 shr */
	{{3, 0x39, 0x32, 0x1b}, EXPR_NUMBER, 0, 0, 4},
	{{3, 0x39, 0x35, 0x1d}, EXPR_NUMBER, 0, 0, 4},
	{{3, 0x33, 0x35, 0x1e}, EXPR_NUMBER, 0, 0, 15},
	{{3, 0x38, 0x32, 0x25}, EXPR_NUMBER, 0, 0, 2},
	/* const4s -16, lit2, shra; lit6 lit3 xor; lit6 lit3 or */
	{{7, 0x0d, 0xf0, 0xff, 0xff, 0xff, 0x32, 0x26}, EXPR_NUMBER, 0, 0, -4},
	{{3, 0x36, 0x33, 0x27}, EXPR_NUMBER, 0, 0, 5},
	{{3, 0x36, 0x33, 0x21}, EXPR_NUMBER, 0, 0, 7},
	/* comparisons: lit2 lit3 lt, then eq 1 */
	{{5, 0x32, 0x33, 0x2d, 0x31, 0x29}, EXPR_NUMBER, 0, 0, 1},
	/* stack: lit1 lit2 lit3 rot -> 3 1 2; 2 - ... swap minus: 1 - 2 */
	{{5, 0x31, 0x32, 0x33, 0x17, 0x1c}, EXPR_NUMBER, 0, 0, -1},
	{{4, 0x31, 0x32, 0x16, 0x1c}, EXPR_NUMBER, 0, 0, 1},
	{{5, 0x35, 0x32, 0x14, 0x13, 0x1c}, EXPR_NUMBER, 0, 0, 3},
	{{4, 0x35, 0x32, 0x15, 1}, EXPR_NUMBER, 0, 0, 5},
	{{3, 0x35, 0x12, 0x22}, EXPR_NUMBER, 0, 0, 10},
	/* constu 300, consts -300, plus; bregx 12 -8 */
	{{7, 0x10, 0xac, 0x02, 0x11, 0xd4, 0x7d, 0x22}, EXPR_NUMBER, 0, 0, 0},
	{{3, 0x92, 12, 0x78}, EXPR_REG, 12, 0, -8},
};

START_TEST(formula)
{
	struct expr_env env = {.pc = 0x100b};
	struct expr e;

	ck_assert(expr_eval(formulas[_i].code, &env, NULL, &e));
	ck_assert_uint_eq(e.kind, formulas[_i].kind);
	ck_assert_uint_eq(e.reg, formulas[_i].reg);
	ck_assert_int_eq(e.off, formulas[_i].off);
	ck_assert_int_eq(e.add, formulas[_i].add);
}
END_TEST

/* The same with registers: a formula becomes its value. */
START_TEST(formula_with_registers)
{
	uintptr_t reg[CFI_NREG], slot[64], expected;
	struct stackrange range = {0};
	struct expr_env env = {.reg = reg,
		.valid = (1u << CFI_NREG) - 1,
		.pc = 0x100b,
		.range = &range};
	struct expr e;

	for (size_t i = 0; i < 64; i++)
		slot[i] = 1000 + i;
	for (size_t i = 0; i < CFI_NREG; i++)
		reg[i] = (uintptr_t)&slot[8];
	ck_assert(expr_eval(formulas[_i].code, &env, NULL, &e));
	ck_assert_uint_eq(e.kind, EXPR_NUMBER);
	expected = (uintptr_t)formulas[_i].add;
	if (formulas[_i].kind == EXPR_REG)
		expected += (uintptr_t)&slot[8];
	else if (formulas[_i].kind == EXPR_LOAD)
		expected += slot[8 + formulas[_i].off / 8];
	ck_assert_uint_eq((uintptr_t)e.add, expected);
}
END_TEST

static const uint8_t refused[][8] = {
	{0},		       /* nothing */
	{1, 0x22},	       /* plus of nothing */
	{1, 0x06},	       /* deref of nothing */
	{3, 0x77, 0, 0x1e},    /* mul of one */
	{4, 0x77, 0, 0x76, 0}, /* fine so far ... */
	{3, 0x31, 0x30, 0x1b}, /* division by zero */
	{3, 0x31, 0x30, 0x1d}, /* modulo zero */
	{3, 0x31, 0x2f, 0},    /* skip */
	{2, 0x31, 0x98},       /* call2 */
	{3, 0x31, 0x06, 0x06}, /* load from a number, without registers */
	{2, 0x0e, 1},	       /* cut short */
	{1, 0x13},	       /* drop of nothing */
	{1, 0x17},	       /* rot of nothing */
};

START_TEST(refused_formula)
{
	struct expr_env env = {.pc = 0x100b};
	struct expr e;
	bool ok = expr_eval(refused[_i], &env, NULL, &e);

	/* Two formulas on the stack are no error: the top is the result. */
	ck_assert_int_eq(ok, _i == 4);
}
END_TEST

/* Bytes at random: any answer, but no crash and no endless loop. */
START_TEST(random_formulas)
{
	uintptr_t reg[CFI_NREG] = {0};
	struct stackrange range = {0};
	struct expr_env env = {.reg = reg, .valid = 0xffff, .range = &range};
	uint8_t code[64];
	struct expr e;

	srand(5);
	for (int i = 0; i < 200000; i++) {
		code[0] = 62;
		for (int k = 1; k < 64; k++)
			code[k] = (uint8_t)(rand() >> 7);
		for (int r = 0; r < CFI_NREG; r++)
			reg[r] = (uintptr_t)rand() * (uintptr_t)rand();
		env.reg = i & 1 ? reg : NULL;
		(void)!expr_eval(code, &env, i & 2 ? reg : NULL, &e);
	}
}
END_TEST

START_TEST(leb128)
{
	static const uint8_t bytes[] = {0xe5, 0x8e, 0x26, 0x80, 0x7f, 0xff,
		0x7e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0x01};
	struct dwarf d = {.p = bytes, .end = bytes + sizeof(bytes)};

	ck_assert_uint_eq(dwarf_uleb(&d), 624485);
	ck_assert_int_eq(dwarf_sleb(&d), -128);
	ck_assert_int_eq(dwarf_sleb(&d), -129);
	ck_assert_uint_eq(dwarf_uleb(&d), UINT64_MAX);
	ck_assert(!d.bad && d.p == d.end);
	ck_assert_uint_eq(dwarf_u32(&d), 0);
	ck_assert(d.bad);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unwind_cfi");
	TCase *tc = tcase_create("unwind_cfi");
	SRunner *r = srunner_create(s);
	int failed, n = sizeof(formulas) / sizeof(*formulas);

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, readelf_agrees);
	tcase_add_test(tc, not_code);
	tcase_add_loop_test(tc, formula, 0, n);
	tcase_add_loop_test(tc, formula_with_registers, 0, n);
	tcase_add_loop_test(
		tc, refused_formula, 0, sizeof(refused) / sizeof(*refused));
	tcase_add_test(tc, random_formulas);
	tcase_add_test(tc, leb128);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
