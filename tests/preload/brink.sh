# SPDX-License-Identifier: MIT
# GOSTAT_OOM_DUMP: heap profile and MemStats are there when memory is not.
set -eu
fail() { echo "$*"; cat err 2>/dev/null; exit 1; }
[ -x /usr/bin/python3 ] || exit 77
eat() { # MiB, then settings
	mib=$1
	shift
	env LD_PRELOAD=$LIB "$@" /usr/bin/python3 -c '
import sys
hoard = []
try:
    for i in range(int(sys.argv[1])):
        hoard.append(bytearray(1 << 20))
except MemoryError:
    sys.exit(4)' "$mib" 2>err
}
written() { # template, limit in MiB: one dump, whole, near the limit
	[ "$(ls | grep -c "^$1")" = 2 ] || fail "$1: $(ls)"
	[ ! -s err ] || fail "$1: output"
	[ "$(stat -c %a "$1.1.heap.pb.gz")" = 600 ]
	gzip -t "$1.1.heap.pb.gz"
	python3 "$SRC/check_memstats.py" "$1.1.memstats.json"
	alloc=$(sed 's/.*"HeapAlloc":\([0-9]*\).*/\1/' "$1.1.memstats.json")
	[ "$alloc" -gt $(($2 * 80 * 10486)) ] || fail "$1: $alloc"
	[ -z "$(find . -name '.gostat*')" ]
}

eat 80 GOSTAT_MAXHEAP=100MiB GOSTAT_OOM_DUMP=far.%n
[ "$(ls)" = err ] || fail "$(ls)"
rc=0
eat 200 GOSTAT_MAXHEAP=100MiB GOSTAT_OOM_DUMP=max.%n || rc=$?
[ $rc = 4 ] || fail "maxheap: $rc"
written max 100
eat 98 GOMEMLIMIT=100MiB GOSTAT_OOM_DUMP=soft.%n
written soft 100
(
	ulimit -v 300000
	rc=0
	eat 1000 GOSTAT_OOM_DUMP=space.%n || rc=$?
	[ $rc = 4 ] || fail "ulimit: $rc"
)
written space 200

# Small stacks, many threads, every way to allocate, and a child.
LD_PRELOAD=$LIB GOSTAT_MAXHEAP=200MiB GOSTAT_OOM_DUMP=feast.%p.%n \
	GOSTAT_PROFILE_RATE=1 "$BIN/brink" 2>err || fail feast
[ ! -s err ] || fail output
[ "$(ls feast.*.1.heap.pb.gz | wc -l)" = 2 ] || fail "$(ls)"
[ "$(ls feast.* | wc -l)" = 4 ] || fail "$(ls)"
for f in feast.*.gz; do gzip -t "$f"; done
python3 "$SRC/check_memstats.py" feast.*.json

# What can't be written: one line for each file, and the program goes on.
eat 98 GOMEMLIMIT=100MiB GOSTAT_OOM_DUMP=/no/such
[ "$(grep -c '^gostat: .* to /no/such\..*: No such file' err)" = 2 ] || fail lines
[ "$(wc -l <err)" = 2 ] || fail lines

# Where groups can be made: version 1 or 2, the kernel kills, the dump is there.
for top in /sys/fs/cgroup/memory /sys/fs/cgroup; do
	group=$top/gostat-brink-$$
	limit=$group/memory.limit_in_bytes
	[ $top = /sys/fs/cgroup ] && limit=$group/memory.max
	[ -w $top ] && mkdir "$group" 2>/dev/null || continue
	if ! echo 100M 2>/dev/null >"$limit"; then
		rmdir "$group"
		continue
	fi
	[ ! -e "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"
	rc=0
	(
		echo 0 >"$group/cgroup.procs"
		eat 300 GOSTAT_OOM_DUMP=group.%n
	) 2>/dev/null || rc=$?
	found=$(LD_PRELOAD=$LIB GOMEMLIMIT=auto GOSTAT_ATEXIT=stats \
		GOSTAT_FORMAT=prometheus sh -c \
		"echo 0 >$group/cgroup.procs; exec /usr/bin/env true" 2>&1 |
		sed -n 's/^go_gc_gomemlimit_bytes //p' | tail -n 1)
	for i in 1 2 3 4 5 6 7 8 9; do
		rmdir "$group" 2>/dev/null && break
		sleep 0.2
	done
	: >err
	[ $rc != 0 ] || fail "nobody was killed: $group"
	written group 100
	[ "$found" = 9.437184e+07 ] || fail "auto: $found"
	break
done
