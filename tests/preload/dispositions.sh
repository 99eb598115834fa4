# SPDX-License-Identifier: MIT
# A program sees its own dispositions and never ours.
set -eu
"$BIN/dispositions" >without
[ "$(wc -l <without)" -gt 1000 ]
LD_PRELOAD=$LIB "$BIN/dispositions" >with 2>err
cmp without with
[ ! -s err ]
LD_PRELOAD=$LIB GOSTAT_SIGNAL=USR1,TERM:heap,RTMIN+3 \
	"$BIN/dispositions" >with 2>err
cmp without with
[ "$(grep -c 'so there are no dumps on it' err)" = 3 ]
[ "$(wc -l <err)" = 3 ]
LD_PRELOAD=$LIB GOSTAT_SIGNAL=none "$BIN/dispositions" >with 2>err
cmp without with
[ ! -s err ]
