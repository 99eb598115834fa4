# SPDX-License-Identifier: MIT
# GODEBUG=scavtrace=1: Go's line for each time that idle memory goes back.
set -eu
[ -x /usr/bin/python3 ] || exit 77 # not a wrapper of somebody's
run() {
	LD_PRELOAD=$LIB GODEBUG=scavtrace=$1 /usr/bin/python3 -c '
import ctypes
a = [bytearray(100000) for i in range(400)]
del a
ctypes.CDLL(None).malloc_trim(0)' 2>err
}
number='[0-9][0-9]*'
run 1
grep -qx "scav 0 KiB work (bg), $number KiB work (eager), $number KiB now, $number% util (forced)" err
run 0
[ ! -s err ]
