# SPDX-License-Identifier: MIT
# Cycles in programs: our own, which knows what must be found, and others,
# which must not notice.
set -eu
fail() { echo "$*"; cat log err 2>/dev/null | tail -20; exit 1; }
run() { LD_PRELOAD=$LIB timeout 500 "$@"; }

# Figures that are exact.
run "$BIN/gc" figures
run "$BIN/gc" leaks
run "$BIN/gc" late
run "$BIN/gc" both
run "$BIN/gc" final
GODEBUG=gcstoptheworld=1 run "$BIN/gc" leaks
GODEBUG=gcstoptheworld=1 run "$BIN/gc" both
GODEBUG=gcnocopy=1 run "$BIN/gc" leaks
GODEBUG=gcnocopy=1 run "$BIN/gc" both

# Cycles under allocation by eight threads, and between forks.
run "$BIN/gc" storm
GODEBUG=gcnocopy=1 run "$BIN/gc" storm
run "$BIN/gc" forks
GODEBUG=gcnocopy=1 run "$BIN/gc" forks

# Reclaiming: nothing in use goes, all else does, by itself too.
export GOSTAT_GC=reclaim
GOGC=off run "$BIN/gc" reclaim
run "$BIN/gc" paced
GOGC=25 run "$BIN/gc" litter
GOGC=off GODEBUG=gcstoptheworld=1 run "$BIN/gc" reclaim
GOGC=off GODEBUG=gcnocopy=1 run "$BIN/gc" reclaim
GODEBUG=gcnocopy=1 run "$BIN/gc" paced
GOGC=25 GODEBUG=gcnocopy=1 run "$BIN/gc" litter
unset GOSTAT_GC

# Go's line for each cycle.
GODEBUG=gctrace=1 run "$BIN/gc" figures 2>err
[ "$(grep -cE '^gc [12] @[0-9.]+s [0-9]+%: [0-9.]+\+[0-9.]+\+0 ms clock, .* P \(forced\)$' err)" = 2 ] ||
	fail "no gctrace"

# Collected or not, the same output.
same() {
	"$@" >plain 2>/dev/null </dev/null || :
	for how in "GOGC=50" "GOSTAT_GC=reclaim GOGC=25" \
		"GOSTAT_GC=reclaim GOGC=25 GODEBUG=gctrace=1,gcnocopy=1"; do
		env LD_PRELOAD="$LIB" GODEBUG=gctrace=1 $how timeout 500 "$@" \
			>log 2>err </dev/null || :
		cmp -s plain log || fail "$how $*: other output"
		[ "$(grep -c '^gc ' err)" -ge 1 ] || fail "$how $*: no cycles"
	done
}
cat >work.py <<'PY'
import json, hashlib
rows = [{"id": i, "name": "n%d" % i, "v": [i * k for k in range(8)]}
        for i in range(20000)]
h = hashlib.sha256()
for turn in range(6):
    text = json.dumps(rows)
    rows = json.loads(text)
    h.update(text.encode())
print(h.hexdigest(), len(rows))
PY
! command -v python3 >/dev/null || same /usr/bin/python3 work.py
! command -v perl >/dev/null || same perl -e '
	my %h; for my $t (1 .. 6) { for my $i (1 .. 60000) {
		$h{$i} = [$i, "x$i" x 3, { a => $t }]; } }
	my $s = 0; $s += $h{$_}[0] + length $h{$_}[1] + $h{$_}[2]{a} for keys %h;
	print "$s\n";'
! command -v sqlite3 >/dev/null || same sqlite3 :memory: "
	create table t(a integer primary key, b text);
	with recursive n(i) as (select 1 union all select i + 1 from n
		where i < 100000)
	insert into t select i, printf('%050d', i) from n;
	create index u on t(b);
	select count(*), sum(length(b)), max(b) from t where b > '3';"

# On a signal, to a file, after one cycle.
rm -f in dump.*
mkfifo in
LD_PRELOAD=$LIB GOSTAT_SIGNAL=USR2:gc+leaks GOSTAT_DUMP=$PWD/dump.%n \
	GOSTAT_FORMAT=json GODEBUG=gctrace=1 "$BIN/target" ready line \
	<in >out 2>err &
pid=$!
exec 3>in
tries=0
until grep -q ready out; do
	tries=$((tries + 1))
	[ $tries -lt 1500 ] || fail "never ready"
	sleep 0.05
done
kill -USR2 $pid
until [ -s dump.1 ]; do
	tries=$((tries + 1))
	[ $tries -lt 3000 ] || fail "no dump"
	sleep 0.05
done
grep -q '^{"version":1,"pid":'$pid',' dump.1 || fail "no report"
echo go >&3
exec 3>&-
rc=0
wait $pid || rc=$?
[ $rc = 7 ] || fail "status $rc"
[ "$(grep -c '^gc 1 ' err)" = 1 ] && [ "$(wc -l <err)" = 1 ] ||
	fail "not one cycle"
