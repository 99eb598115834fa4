# SPDX-License-Identifier: MIT
# Dumps on a signal, and whose the signal is.
set -eu
trap '' PIPE # a target that has ended does not read its line
fail() { echo "$*"; cat out err 2>/dev/null; exit 1; }
count() { grep -c '^gostat: MemStats of target (pid ' err || true; }

# start WORD...: the target in the background, its stdin on a pipe (fd 3).
start() {
	rm -f in out err
	mkfifo in
	: >out
	LD_PRELOAD=$LIB "$BIN/target" "$@" <in >out 2>err &
	pid=$!
	exec 3>in
}

# until COMMAND...: try for a minute and more.
until_() {
	tries=0
	while ! "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 1500 ] || fail "never: $*"
		sleep 0.05
	done
}
dumps() { [ "$(count)" = "$1" ] && [ "$(grep -c '^BySize' err)" = "$1" ]; }
said() { grep -q "^$1\$" out; }

# finish STATUS: let it read its line and end.
finish() {
	echo go >&3 2>/dev/null || :
	exec 3>&-
	rc=0
	wait $pid || rc=$?
	[ $rc = "$1" ] || fail "status $rc, not $1"
}

# By default USR1 dumps, again and again, and the program goes on: the read it
# was in is not interrupted.
start ready line
until_ said ready
for i in 1 2 3; do
	kill -USR1 $pid
	until_ dumps $i
done
finish 7
said go || fail "read was interrupted"
[ "$(sed -n 's/^\([A-Z][A-Za-z]*\) = .*/\1/p' err | head -32 | tail -1)" = BySize ]
! grep -q '^HeapAlloc = 0$' err || fail "no heap"

# The program's own handler wins; nobody asked, nobody is told.
start handle ready line
until_ said ready
kill -USR1 $pid
until_ said handled
finish 7
[ ! -s err ] || fail "output"

# Somebody asked for the signal, so one line says why there are no dumps.
GOSTAT_SIGNAL=USR1 start handle handle ready line
until_ said ready
kill -USR1 $pid
until_ said handled
finish 7
[ "$(wc -l <err)" = 1 ] || fail "lines"
grep -q 'USR1 has a handler of the program' err || fail "line"

# SIG_IGN of the program's wins, too; after SIG_DFL it is ours again.
start ignore ready line
until_ said ready
kill -USR1 $pid
finish 7
[ ! -s err ] || fail "output"
start ignore reset ready line
until_ said ready
kill -USR1 $pid
until_ dumps 1
finish 7

# Ignored since before the start: stays so, also for what it starts.
(trap '' USR1; GOSTAT_SIGNAL=USR1 LD_PRELOAD=$LIB "$BIN/target" raise) 2>err ||
	[ $? = 7 ]
[ "$(wc -l <err)" = 1 ] && grep -q 'USR1 was ignored' err || fail "inherited"

# sigwait and signalfd get the signal as without us.
for how in sigwait signalfd; do
	start $how
	until_ said ready
	kill -USR1 $pid
	finish 7
	grep -q 'waited\|read' out || fail "$how"
	[ ! -s err ] || fail "output"
done

# Raised without a word: a request. Raised after SIG_DFL: the end, as without.
rc=0
LD_PRELOAD=$LIB "$BIN/target" raise raise 2>err || rc=$?
[ $rc = 7 ] && dumps 2 || fail "raise $rc"
rc=0
LD_PRELOAD=$LIB "$BIN/target" reset raise 2>err || rc=$?
[ $rc = 138 ] && dumps 0 || fail "reset raise $rc"

# Other signals have their effect after the dump.
GOSTAT_SIGNAL=TERM,SEGV start ready line
until_ said ready
kill -TERM $pid
finish 143
dumps 1 || fail "TERM"
rc=0
LD_PRELOAD=$LIB GOSTAT_SIGNAL=SEGV "$BIN/target" segv 2>err || rc=$?
[ $rc = 139 ] && dumps 1 || fail "SEGV $rc"

# Stopped, continued, stopped again.
GOSTAT_SIGNAL=TSTP start group ready line
until_ said ready
until_ grep -q '^[0-9]' out
child=$(grep '^[0-9]' out)
stopped() { grep -q '^State:.*stopped' /proc/$child/status; }
asleep() { grep -q '^State:.*sleeping' /proc/$child/status; }
for i in 1 2; do
	kill -TSTP $child
	until_ stopped
	kill -CONT $child
	dumps $i || fail "TSTP"
	until_ asleep # in its read() again, with our handler in place
done
finish 7

# Real-time signals, several at once, none.
GOSTAT_SIGNAL=RTMIN+3,USR2 start ready line
until_ said ready
kill -37 $pid
until_ dumps 1
kill -USR2 $pid
until_ dumps 2
finish 7
GOSTAT_SIGNAL=none start ready line
until_ said ready
kill -USR1 $pid
finish 138
[ ! -s err ] || fail "output"

# What is started with exec sees the signals as without us.
mask() { grep '^Sig\(Blk\|Ign\|Cgt\)'; }
env -u LD_PRELOAD "$BIN/target" exec | mask >plain
LD_PRELOAD=$LIB "$BIN/target" exec | mask >preloaded
grep '^Sig\(Blk\|Ign\)' plain >a
grep '^Sig\(Blk\|Ign\)' preloaded >b
cmp a b
