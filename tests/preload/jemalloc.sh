# SPDX-License-Identifier: MIT
# jemalloc's functions are ours too: under jemalloc for a model, then here.
set -eu
je=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
if [ -e $je ]; then
	LD_PRELOAD=$je "$BIN/jemalloc"
	# No function of its is left to itself.
	names() { nm -D --defined-only "$1" | sed -n 's/.* [TW] //p' | sort; }
	names $je >theirs
	names "$LIB" >ours
	[ -z "$(comm -23 theirs ours)" ]
fi
LD_PRELOAD=$LIB "$BIN/jemalloc" ours
