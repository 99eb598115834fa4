# SPDX-License-Identifier: MIT
# Programs that restrict themselves after start live on.
set -eu
"$BIN/limits"
LD_PRELOAD=$LIB "$BIN/limits"
