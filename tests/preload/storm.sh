# SPDX-License-Identifier: MIT
# Storms of forks, threads and signals, shortly; at length: ctest -L storm.
set -eu
for kind in fork thread signal; do
	timeout 500 "$BIN/storm" $kind 1
	LD_PRELOAD=$LIB timeout 500 "$BIN/storm" $kind 3
done
