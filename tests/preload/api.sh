# SPDX-License-Identifier: MIT
# gostat.h: one binary, with and without the library; also non-PIE and C++.
set -eu
[ "$("$BIN/api")" = without ]
[ "$(LD_PRELOAD=$LIB "$BIN/api")" = with ]

cc=${CC:-cc}
include=$SRC/../../runtime/include
"$cc" -fno-builtin -no-pie -fno-pie -O2 -I"$include" "$SRC/api.c" -o nopie
[ "$(./nopie)" = without ]
[ "$(LD_PRELOAD=$LIB ./nopie)" = with ]

"$cc" -fno-builtin -I"$include" "$SRC/api.c" "$LIB" -o linked
[ "$(LD_LIBRARY_PATH=$(dirname "$LIB") ./linked)" = with ]

if command -v g++ >/dev/null; then
	g++ -fno-builtin -I"$include" -x c++ "$SRC/api.c" -o cxx
	[ "$(./cxx)" = without ]
	[ "$(LD_PRELOAD=$LIB ./cxx)" = with ]
fi
