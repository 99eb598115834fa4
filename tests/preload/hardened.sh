# SPDX-License-Identifier: MIT
# Programs that do nothing wrong run as ever under GOSTAT_HARDEN=1.
set -eu
export GOSTAT_HARDEN=1
LD_PRELOAD=$LIB "$BIN/family"
LD_PRELOAD=$LIB "$BIN/info" >out 2>err || { cat err; exit 1; }
LD_PRELOAD=$LIB "$BIN/jemalloc"
LD_PRELOAD=$LIB "$BIN/foreign"
LD_PRELOAD=$LIB "$BIN/limits"
LD_PRELOAD=$LIB "$BIN/lives"
for kind in fork thread signal; do
	LD_PRELOAD=$LIB timeout 500 "$BIN/storm" $kind 1
done
if command -v "${CXX:-g++}" >/dev/null; then
	"${CXX:-g++}" -std=c++17 -O2 -fno-builtin "$SRC/cxx.cc" -o cxx
	LD_PRELOAD=$LIB ./cxx
	GOSTAT_MAXHEAP=64MiB LD_PRELOAD=$LIB ./cxx 50000000
fi
