# SPDX-License-Identifier: MIT
# The stacks in a leak report are those that libgcc sees: stacks.cc.
set -eu
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || exit 77

for k in 1 2 3; do
	cat >plugin$k.c <<END
int plugged(void (*f)(unsigned), unsigned depth);
static int inner(void (*f)(unsigned), unsigned depth)
{
	volatile char pad[$k * 48];

	pad[0] = $k;
	f(depth);
	return pad[0];
}
int plugged(void (*f)(unsigned), unsigned depth)
{
	return inner(f, depth) + $k;
}
END
	"${CC:-cc}" -O$k -fno-optimize-sibling-calls -shared -fPIC \
		plugin$k.c -o plugin$k.so
done
for opt in "-O0" "-O2 -fomit-frame-pointer" "-O2 -fno-omit-frame-pointer"; do
	# shellcheck disable=SC2086 # words
	"$cxx" -std=c++17 $opt -fno-builtin -Wall -Werror -Wno-infinite-recursion -pthread \
		"$SRC/stacks.cc" -o stacks -ldl
	for seed in 1 2 3; do
		rm -f report words
		GOSTAT_LEAKCHECK=exit GOSTAT_LEAKCHECK_EXITCODE=0 \
		GOSTAT_LEAKCHECK_OUT=report LD_PRELOAD=$LIB \
			./stacks words $seed 1200 ./plugin1.so ./plugin2.so \
			./plugin3.so
		python3 -B "$SRC/check_stacks.py" report words
	done
done
