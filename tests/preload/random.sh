# SPDX-License-Identifier: MIT
# Random calls against a model: a seed that stays and one that does not.
set -eu
"$BIN/random" 1 30000 >/dev/null
for seed in 1 "$(date +%s)"; do
	LD_PRELOAD=$LIB "$BIN/random" "$seed"
done
GOSTAT_PROFILE_RATE=4096 LD_PRELOAD=$LIB "$BIN/random" 3 30000
GOSTAT_PROFILE_RATE=1 LD_PRELOAD=$LIB "$BIN/random" 4 20000
GOMEMLIMIT=32MiB LD_PRELOAD=$LIB "$BIN/random" 5 30000
GOSTAT_HARDEN=1 LD_PRELOAD=$LIB "$BIN/random" 6 20000
