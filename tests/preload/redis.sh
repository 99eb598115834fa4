# SPDX-License-Identifier: MIT
# Debian's redis-server is linked with jemalloc and asks it about memory.
set -eu
command -v redis-server >/dev/null && command -v redis-cli >/dev/null || exit 77

LD_PRELOAD=$LIB redis-server --port 0 --unixsocket "$PWD/s" --save '' \
	--appendonly no --daemonize no >log 2>&1 &
pid=$!
trap 'kill -9 $pid 2>/dev/null || true' EXIT
cli() { redis-cli -s "$PWD/s" "$@"; }

# until COMMAND...: try for a minute and more.
until_() {
	tries=0
	while ! "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { echo "never: $*"; exit 1; }
		sleep 0.1
	done
}
up() { [ "$(cli PING 2>/dev/null)" = PONG ]; }
until_ up
cli DEBUG JMAP >/dev/null 2>&1 || true
cli EVAL 'for i = 1, 20000 do
	redis.call("SET", "key" .. i, string.rep("x", i % 500)) end' 0 >/dev/null

field() { cli INFO memory | tr -d '\r' | sed -n "s/^$1://p"; }
used=$(field used_memory)
# The server looks at its allocator every 100 ms, when it has the time.
counted() { [ "$(field allocator_allocated)" -ge $((used - 100000)) ]; }
until_ counted
used=$(field used_memory)
allocated=$(field allocator_allocated)
active=$(field allocator_active)
resident=$(field allocator_resident)
[ "$used" -gt 5000000 ]
[ "$allocated" -ge $((used - 100000)) ]
[ "$active" -ge "$allocated" ]
[ "$resident" -ge "$active" ]
[ "$resident" -lt $((used * 4 + 20000000)) ]
case $(field mem_allocator) in jemalloc*) ;; *) exit 1 ;; esac

cli MEMORY STATS | grep -q '^allocator.allocated$'
cli MEMORY DOCTOR | grep -q .
cli MEMORY MALLOC-STATS | grep -q '^Version: "gostat '
[ "$(cli MEMORY PURGE)" = OK ]
[ "$(cli MEMORY USAGE key400)" -gt 400 ]
cli CONFIG SET activedefrag yes >/dev/null
[ "$(cli FLUSHALL)" = OK ]
[ "$(cli MEMORY PURGE)" = OK ]
gone() { [ "$(field allocator_allocated)" -lt $((allocated / 2)) ]; }
until_ gone
cli SHUTDOWN NOSAVE || true
status=0
wait $pid || status=$?
trap - EXIT
[ $status = 0 ]
! grep -q '^gostat:' log
