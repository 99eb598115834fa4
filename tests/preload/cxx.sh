# SPDX-License-Identifier: MIT
# C++: every form of operator new and delete, and what happens without memory.
set -eu
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || exit 77

"$cxx" -std=c++17 -O2 -fno-builtin -Wall -Werror "$SRC/cxx.cc" -o cxx
./cxx
LD_PRELOAD=$LIB ./cxx
GOSTAT_MAXHEAP=64MiB LD_PRELOAD=$LIB ./cxx 50000000
(ulimit -v 200000; LD_PRELOAD=$LIB ./cxx 50000000)

# Every operator that libstdc++ defines is ours.
operators() { nm -D --defined-only "$1" | sed 's/@.*//; s/.* //' |
	grep -E '^_Z(n[wa]|d[la])' | sort; }
operators "$(ldd ./cxx | sed -n 's/.*libstdc++[^ ]* => \([^ ]*\).*/\1/p')" >a
operators "$LIB" >b
[ "$(wc -l <a)" -ge 20 ]
diff a b

# libstdc++ comes with a plugin, opened locally.
"$cxx" -shared -fPIC -O2 -fno-builtin "$SRC/cxx_plugin.cc" -o plugin.so
"$BIN/plugin" ./plugin.so
LD_PRELOAD=$LIB "$BIN/plugin" ./plugin.so

# No C++ run-time anywhere: one line, then abort.
cat >none.c <<'END'
#include <stddef.h>
#include <stdint.h>
void *_Znwm(size_t n);
int main(void) { return !_Znwm(PTRDIFF_MAX); }
END
"${CC:-cc}" none.c "$LIB" -o none
status=0
(ulimit -c 0; LD_LIBRARY_PATH=$(dirname "$LIB") ./none) 2>said || status=$?
[ $status = 134 ]
grep -q '^gostat: operator new(9223372036854775807): out of memory' said
