# SPDX-License-Identifier: MIT
# The process ends with its last thread, whether or not we have one there, too.
set -eu
for how in first last idle fork exit; do
	for with in '' "LD_PRELOAD=$LIB" "LD_PRELOAD=$LIB GOSTAT_SOCKET=$PWD/%p.sock" \
		"LD_PRELOAD=$LIB GOSTAT_ATEXIT=trace GOSTAT_DUMP=/dev/null"; do
		want='bye 1'
		[ $how != fork ] || want="$want $want"
		code=0
		[ $how != exit ] || code=5
		rc=0
		out=$(env $with "$BIN/last" $how 2>err) || rc=$?
		[ "$(echo $out)" = "$want" ] && [ $rc = $code ] || {
			echo "$how, '$with': $out, status $rc"
			cat err
			exit 1
		}
		[ ! -s err ] || { cat err; exit 1; }
		[ -z "$(ls | grep sock)" ] || { ls; exit 1; }
	done
done
