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
ends 7 1 "import os; os._exit(7)"
ends 8 2 "$libc os.fork() and os.wait() or os._exit(7); libc._exit(8)"
ends 7 1 'import subprocess, os
try:
    subprocess.run(["/no/such"])
except FileNotFoundError:
    os._exit(7)' # the child is a vfork: in our memory, not us
ends 7 1 'import signal, os
signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
signal.setitimer(signal.ITIMER_REAL, 0.05)
while True: bytearray(5000)'
# dash ends so.
out=$(GOSTAT_ATEXIT=stats LD_PRELOAD=$LIB GOSTAT_SOCKET=$PWD/%p.sock \
	/bin/sh -c 'exit 9' 2>&1)
if [ $? != 9 ] || [ "$(echo "$out" | grep -c '^HeapAlloc = ')" != 1 ] ||
	ls | grep sock
then
	echo "sh: $out"
	failed=1
fi
GOSTAT_TRACE=$PWD/t.trace LD_PRELOAD=$LIB /bin/sh -c : || failed=1
if [ "$(head -c 13 t.trace)" != 'go 1.19 trace' ]; then
	echo 'trace of sh'
	failed=1
fi

# coreutils close stderr in an exit handler, which runs before ours; nobody
# sees the descriptor that is kept, and a file needs none.
ls() { # settings; what the program itself has printed is in out
	env "$@" LD_PRELOAD="$LIB" /bin/ls -l /proc/self/fd >out 2>err
}
ls GOSTAT_ATEXIT=stats
if [ "$(grep -c '^HeapAlloc = ' err)" != 1 ]; then
	echo 'ls: nothing'
	failed=1
fi
kept=$(grep -c . out)
for set in GOSTAT_ATEXIT=none 'GOSTAT_ATEXIT=stats GOSTAT_DUMP=file' \
	'GOSTAT_ATEXIT=stats GOSTAT_ATEXIT_OUT=file' \
	'GOSTAT_ATEXIT=stats GOSTAT_ATEXIT_PID=1'; do
	ls $set
	if [ -s err ] || [ "$(grep -c . out)" != $((kept - 1)) ]; then
		echo "ls $set"
		cat out err
		failed=1
	fi
done
# What they leak is said, too: tr, the classes of its arguments.
for set in GOSTAT_LEAKCHECK=exit 'GOSTAT_LEAKCHECK=exit LSAN_OPTIONS=max_leaks=1'
do
	status=0
	echo a | env $set LD_PRELOAD="$LIB" tr a b >/dev/null 2>err || status=$?
	if [ $status != 23 ] || ! grep -q '^SUMMARY: .*in 4 allocation' err; then
		echo "tr $set: status $status"
		cat err
		failed=1
	fi
done
GOSTAT_ATEXIT=heap TMPDIR=$PWD LD_PRELOAD=$LIB tr a b </dev/null 2>err
if ! [ -f "$(sed -n 's/^gostat: heap profile of .* is in //p' err)" ]; then
	echo 'tr: where is its profile?'
	failed=1
fi
# A daemon keeps nobody waiting who reads what its parent says.
daemon=$(GOSTAT_LEAKCHECK=exit LD_PRELOAD=$LIB /usr/bin/python3 -c '
import os, time
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
null = os.open("/dev/null", os.O_RDWR)
for fd in 0, 1, 2:
    os.dup2(null, fd)
time.sleep(100)' 2>&1)
if ! kill -9 "$daemon"; then
	echo "the daemon's output ended with it: $daemon"
	failed=1
fi
if GOSTAT_ATEXIT=stats LD_PRELOAD=$LIB sh -c 'exec /usr/bin/python3 -c "
import os; os.execv(\"/bin/ls\", [\"ls\", \"/proc/self/fd\"])"' 2>err |
	grep -c . | grep -qx "$((kept - 1))"; then :; else
	echo 'exec: descriptors'
	failed=1
fi
exit $failed
