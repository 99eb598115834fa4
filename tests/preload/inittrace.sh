# SPDX-License-Identifier: MIT
# GODEBUG=inittrace=1: a line for the library, one for what comes until main.
set -eu
LD_PRELOAD=$LIB GODEBUG=inittrace=1 /bin/echo main 2>err >out
[ "$(cat out)" = main ]
number='[0-9][0-9.]*'
rest="@$number ms, $number ms clock, [0-9]* bytes, [0-9]* allocs\$"
sed -n 1p err | grep -q "^init libgostat $rest"
sed -n 2p err | grep -q "^init echo $rest"
[ "$(wc -l <err)" = 2 ]
LD_PRELOAD=$LIB GODEBUG=inittrace=0 /bin/echo main 2>err >out
[ ! -s err ]
