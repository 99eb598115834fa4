# SPDX-License-Identifier: MIT
# The malloc family keeps glibc's rules: the program holds under both.
set -eu
"$BIN/family"
LD_PRELOAD=$LIB "$BIN/family" ours
