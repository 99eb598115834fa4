# SPDX-License-Identifier: MIT
# Where dumps go, in which format, and what happens when they cannot.
set -eu
fail() { echo "$*"; cat err 2>/dev/null; exit 1; }
run() {
	rc=0
	LD_PRELOAD=$LIB env "$@" 2>err || rc=$?
	[ $rc = 7 ] || fail "status $rc: $*"
}
target=$BIN/target

# At exit; nothing by default.
run "$target"
[ ! -s err ] || fail "output unasked"
run GOSTAT_ATEXIT=stats "$target"
grep -q '^gostat: MemStats of target (pid [0-9]*), dump 1, 20..-..-..T..:..:..Z$' err
[ "$(wc -l <err)" = 33 ]

# JSON and Prometheus, to files named by template; each process its own.
run GOSTAT_ATEXIT=stats GOSTAT_FORMAT=json GOSTAT_DUMP=%e.%p.%n.json \
	"$target" raise fork raise
[ ! -s err ] || fail "output"
[ "$(ls target.*.json | wc -l)" = 4 ] || fail "$(ls)"
[ "$(ls target.*.1.json target.*.2.json | wc -l)" = 4 ] || fail "$(ls)"
[ "$(ls target.*.json | sed 's/^target\.\([0-9]*\).*/\1/' | sort -u | wc -l)" = 2 ]
for f in target.*.json; do
	[ "$(stat -c %a "$f")" = 600 ]
	python3 "$SRC/check_memstats.py" "$f"
done
[ -z "$(find . -name '.gostat*')" ]

run GOSTAT_ATEXIT=stats GOSTAT_FORMAT=prometheus GOSTAT_DUMP=metrics "$target"
if command -v promtool >/dev/null; then
	promtool check metrics <metrics
fi
grep -q '^go_threads 1$' metrics

# Failures: one line with the reason, the program's own status.
for where in no/such/folder /dev/full /proc/x; do
	run GOSTAT_DUMP=$where "$target" raise raise
	[ "$(grep -c "^gostat: dump to $where: [A-Z]" err)" = 2 ] || fail "$where"
	[ "$(wc -l <err)" = 2 ] || fail "lines"
done
(ulimit -f 1; run GOSTAT_DUMP=big GOSTAT_FORMAT=json "$target" raise)
[ ! -e big ] && [ -z "$(find . -name '.gostat*')" ]
rc=0
LD_PRELOAD=$LIB "$target" raise 2>&- || rc=$?
[ $rc = 7 ] || fail "closed stderr: $rc"

# A storm of signals while threads allocate: every dump is whole and adds up.
mkfifo in
LD_PRELOAD=$LIB GOSTAT_DUMP=storm.%n GOSTAT_FORMAT=json \
	"$target" alloc ready line <in >out 2>err &
pid=$!
exec 3>in
while ! grep -q ready out; do sleep 0.05; done
for i in $(seq 300); do kill -USR1 $pid; done
while [ ! -e storm.20 ]; do
	kill -USR1 $pid
	sleep 0.01
done
echo >&3
exec 3>&-
rc=0
wait $pid || rc=$?
[ $rc = 7 ] || fail "storm: $rc"
[ ! -s err ] || fail "output"
[ -z "$(find . -name '.gostat*')" ]
python3 "$SRC/check_memstats.py" --sequence $(ls storm.* | sort -t. -k2n)
