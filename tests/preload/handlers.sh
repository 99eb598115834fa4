# SPDX-License-Identifier: MIT
# Signal handlers are the program's, whoever calls them first.
set -eu
"$BIN/handlers"
LD_PRELOAD=$LIB "$BIN/handlers"
GOSTAT_GC=off LD_PRELOAD=$LIB "$BIN/handlers"
