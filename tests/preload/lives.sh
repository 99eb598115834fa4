# SPDX-License-Identifier: MIT
# Odd moments in the life of a process.
set -eu
"$BIN/lives"
LD_PRELOAD=$LIB "$BIN/lives"
