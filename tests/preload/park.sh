# SPDX-License-Identifier: MIT
# Calls that wait are not disturbed by cycles.
set -eu
"$BIN/park" 20
LD_PRELOAD=$LIB "$BIN/park" 200
GOSTAT_GC=off LD_PRELOAD=$LIB "$BIN/park" 20
