# SPDX-License-Identifier: MIT
# Programs that shut themselves in live on, whatever was asked of us before.
set -eu
fail() { echo "$*"; cat err; exit 1; }
program=$BIN/../programs/seccomp
[ -x "$program" ] || exit 77
# A call that is not on the list is a SIGSYS; one in strict mode a SIGKILL.
ulimit -c 0
run() { # mode, settings
	mode=$1
	shift
	out=$(timeout -s KILL 500 env "$@" LD_PRELOAD=$LIB "$program" $mode \
		2>err) || fail "$mode $*: status $?"
	[ "$out" = $mode ] || fail "$mode $*: $out"
}
for mode in strict filter; do
	for s in GOGC=20 GOSTAT_GC=reclaim 'GOSTAT_GC=reclaim GOGC=10' \
		GOMEMLIMIT=4MiB GOMEMLIMIT=auto GOSTAT_MAXHEAP=100MiB \
		GOSTAT_SOCKET=socket-%p 'GOSTAT_SOCKET=socket-%p GOGC=20' \
		GOSTAT_TRACE=trace-%p GOSTAT_PROFILE_RATE=1 \
		'GODEBUG=gctrace=1,scavtrace=1 GOGC=20' \
		'GOSTAT_OOM_DUMP=oom-%p GOMEMLIMIT=3MiB' \
		'GOSTAT_SIGNAL=USR1:gc+leaks'; do
		run $mode $s
		[ ! -s err ] || fail "$mode $s: output"
	done
	[ -z "$(ls | grep socket)" ] || fail "$(ls)"
	[ -n "$(ls | grep trace)" ] || fail "$(ls)"
	rm -f trace-* oom-*
	run $mode GOSTAT_ATEXIT=stats+heap+leaks+gc GOSTAT_DUMP=dump-%n
	run $mode GOSTAT_VERBOSE=1

	# Nobody can look, and that is said before it is too late.
	run $mode GOSTAT_LEAKCHECK=exit
	grep -q 'ERROR: .* leaks were not checked: .*(seccomp)' err ||
		fail "$mode: said"
	[ "$(wc -l <err)" = 1 ] || fail "$mode: lines"
	run $mode GOSTAT_LEAKCHECK=exit GOSTAT_LEAKCHECK_OUT=report-%n
	[ ! -s err ] || fail "$mode: output beside the report"
	grep -q '"status":"unchecked","reason":".*(seccomp)"' report-1 ||
		fail "$mode: report"
	[ ! -e report-2 ] || fail "$mode: two reports"
	rm -f report-*
done
run filter GOSTAT_HARDEN=1

# A question, or a call that is refused: nothing has changed.
run refused GOSTAT_LEAKCHECK=exit GOSTAT_LEAKCHECK_OUT=report-%n \
	GOSTAT_SOCKET=socket GOSTAT_TRACE=trace
grep -q '"status":"clean"' report-1 || fail "refused: report"
[ ! -e report-2 ] || fail "refused: two reports"
