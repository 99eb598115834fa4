# SPDX-License-Identifier: MIT
# GOSTAT_SIGNAL and GOSTAT_ATEXIT: the actions heap and trace.
set -eu
fail() { echo "$*"; cat err 2>/dev/null; exit 1; }
target=$BIN/target
run() {
	rc=0
	LD_PRELOAD=$LIB TMPDIR=$PWD/tmp env "$@" 2>err || rc=$?
	[ $rc = 7 ] || fail "status $rc: $*"
}
mkdir tmp

# Without a template: a file among the temporary ones, and a line.
run GOSTAT_SIGNAL=USR1:heap "$target" raise raise
[ "$(wc -l <err)" = 2 ] || fail lines
sed -n 's/^gostat: heap profile of process [0-9]* is in //p' err >names
[ "$(wc -l <names)" = 2 ] || fail names
while read -r f; do
	case $f in
	"$PWD"/tmp/gostat.target.*.[12].heap.pb.gz) ;;
	*) fail "$f" ;;
	esac
	[ "$(stat -c %a "$f")" = 600 ]
	gzip -t "$f"
done <names
[ "$(ls tmp | wc -l)" = 2 ] || fail "$(ls tmp)"

# With one: only there; stats and heap at once don't overwrite each other.
run GOSTAT_SIGNAL=USR1:heap GOSTAT_DUMP=one.%n.pb.gz "$target" raise
[ ! -s err ] || fail output
gzip -t one.1.pb.gz
run GOSTAT_SIGNAL=USR1:heap+stats GOSTAT_DUMP=two GOSTAT_FORMAT=json \
	"$target" raise
[ ! -s err ] || fail output
gzip -t two.heap
python3 "$SRC/check_memstats.py" two
run GOSTAT_ATEXIT=heap GOSTAT_DUMP=end.pb.gz "$target"
gzip -t end.pb.gz
run GOSTAT_SIGNAL=USR1:heap GOSTAT_DUMP=/no/such "$target" raise
grep -q '^gostat: heap profile to /no/such: No such file' err || fail why
[ "$(wc -l <err)" = 1 ] || fail lines

# While threads allocate, each sampled: whole profiles, none lost.
mkfifo go
LD_PRELOAD=$LIB GOSTAT_SIGNAL=USR1:heap GOSTAT_DUMP=storm.%n \
	GOSTAT_PROFILE_RATE=64 "$target" alloc ready line <go >out 2>err &
pid=$!
exec 3>go
while ! grep -q ready out; do sleep 0.05; done
while [ ! -e storm.20 ]; do
	kill -USR1 $pid
	sleep 0.01
done
echo >&3
exec 3>&-
rc=0
wait $pid || rc=$?
[ $rc = 7 ] || fail "storm: $rc"
[ ! -s err ] || fail output
for f in storm.*; do gzip -t "$f"; done
if command -v go >/dev/null; then
	go tool pprof -raw storm.20 2>/dev/null | grep -q 'space/bytes' ||
		fail 'pprof reads none of it'
fi

# A trace lasts from one signal to the next, or to the end.
is_trace() { [ "$(head -c 13 "$1")" = 'go 1.19 trace' ] || fail "$1"; }
mkfifo in
for way in second end; do
	rm -rf tmp out
	mkdir tmp
	LD_PRELOAD=$LIB TMPDIR=$PWD/tmp GOSTAT_SIGNAL=USR2:trace \
		"$target" alloc ready line <in >out 2>err &
	pid=$!
	exec 3>in
	while ! grep -q ready out; do sleep 0.05; done
	kill -USR2 $pid
	while ! grep -q 'records a trace' err; do sleep 0.05; done
	if [ $way = second ]; then
		kill -USR2 $pid
		while ! ls tmp | grep -q trace; do sleep 0.05; done
	fi
	echo >&3
	exec 3>&-
	rc=0
	wait $pid || rc=$?
	[ $rc = 7 ] || fail "trace: $rc"
	[ "$(wc -l <err)" = 1 ] || fail lines
	f=$(sed -n 's/.* writes it to //p' err)
	[ "$f" = "$PWD/tmp/gostat.target.$pid.1.trace" ] || fail "$f"
	is_trace "$f"
	[ "$(ls -A tmp | wc -l)" = 1 ] || fail "$(ls -A tmp)"
done
run GOSTAT_SIGNAL=USR1:trace GOSTAT_DUMP=sig.%n "$target" raise
[ ! -s err ] || fail output
run GOSTAT_ATEXIT=trace+stats GOSTAT_DUMP=all "$target"
[ ! -s err ] || fail output
is_trace all.trace
grep -q '^HeapAlloc = ' all
run GOSTAT_ATEXIT=trace GOSTAT_DUMP=%p.trace "$target" fork
[ ! -s err ] || fail output
[ "$(ls [0-9]*.trace | wc -l)" = 2 ] || fail "$(ls)"
for f in [0-9]*.trace; do is_trace "$f"; done
[ -z "$(find . -name '.gostat*')" ]
