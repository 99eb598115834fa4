# SPDX-License-Identifier: MIT
# GOSTAT_FOLLOW=0: children started with exec go without the library; what
# else is preloaded stays, in its order. GOSTAT_VERBOSE=1 tells who is there.
set -eu
echo 'int a_marker;' >a.c
"${CC:-cc}" -shared -fPIC a.c -o liba.so
cp liba.so libb.so
dir=$(dirname "$LIB")
export GOSTAT_VERBOSE=1 LC_ALL=C

# What a child sees of LD_PRELOAD, and how many processes said hello.
child() {
	GOSTAT_FOLLOW=$1 LD_PRELOAD=$2 LD_LIBRARY_PATH=$dir:$PWD \
		sh -c '/usr/bin/env; /bin/true' 2>err | sed -n 's/^LD_PRELOAD=//p'
}
hello() { grep -c '^gostat: version [0-9.]* in process' err || true; }

[ "$(child 1 "$LIB")" = "$LIB" ] && [ "$(hello)" = 3 ]
[ "$(child 0 "$LIB")" = "" ] && [ "$(hello)" = 1 ]
[ "$(child 0 libgostat.so)" = "" ] && [ "$(hello)" = 1 ]
[ "$(child 0 "liba.so:$LIB libb.so")" = "liba.so libb.so" ] &&
	[ "$(hello)" = 1 ]
[ "$(child 0 "$LIB:$PWD/liba.so")" = "$PWD/liba.so" ]
[ "$(child 0 "liba.so $LIB")" = liba.so ]
[ "$(child 0 "$LIB $LIB liba.so::$LIB")" = "liba.so" ]
[ "$(child 0 '$LIB/../libgostat.so liba.so '"$LIB")" = liba.so ]

# Without the variable: silent.
unset GOSTAT_VERBOSE
LD_PRELOAD=$LIB /bin/true 2>err
[ ! -s err ]
