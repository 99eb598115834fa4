# SPDX-License-Identifier: MIT
# gostat_on_memory_pressure: caches give way, alone and beside a dump.
set -eu
LD_PRELOAD=$LIB "$BIN/pressure" >out
[ "$(cat out)" = bye ]
LD_PRELOAD=$LIB GOSTAT_OOM_DUMP=d GOSTAT_SOCKET=$PWD/s "$BIN/pressure" >out
[ "$(cat out)" = bye ]
