# SPDX-License-Identifier: MIT
# GOSTAT_ATEXIT: once, whichever way libc ends the process; status unchanged.
set -u
[ -x /usr/bin/python3 ] || exit 77 # not a wrapper of somebody's
failed=0
ends() { # expected status, number of dumps, command
	status=0
	GOSTAT_ATEXIT=stats LD_PRELOAD=$LIB /usr/bin/python3 -c "$3" 2>err || status=$?
	if [ $status != "$1" ] || [ "$(grep -c '^HeapAlloc = ' err)" != "$2" ]
	then
		echo "$3: status $status"
		cat err
		failed=1
	fi
}
libc='import ctypes, os; libc = ctypes.CDLL(None);'
ends 0 1 'pass'
ends 3 1 'raise SystemExit(3)'
ends 4 1 "$libc libc.exit(4)"
ends 5 1 "$libc libc.quick_exit(5)"
ends 6 2 "$libc os.fork() and os.wait() or libc.exit(6); libc.exit(6)"
exit $failed
