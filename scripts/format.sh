#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Format C sources as .clang-format says.
#
#	scripts/format.sh		the lines that differ from main
#	scripts/format.sh FILE...	whole files
#	scripts/format.sh --check	print what would change, change nothing
set -u
top=$(readlink -f "$0")
cd "${top%/*/*}" || exit 1
if ! command -v clang-format >/dev/null; then
	echo "scripts/format.sh: clang-format is not installed" >&2
	exit 2
fi

case ${1-} in
-h | --help)
	sed -n '4,/^set -u/s/^# \{0,1\}//p' "$0" | sed '$d'
	;;
--check | '')
	base=$(git merge-base HEAD main 2>/dev/null) || base=HEAD
	opts=(--diff)
	[ "${1-}" = --check ] || opts=(--force)
	out=$(git clang-format "${opts[@]}" "$base" -- '*.c' '*.h')
	printf '%s\n' "$out"
	[ "${1-}" != --check ] || ! grep -q '^[-+]' <<<"$out"
	;;
*)
	clang-format -i -- "$@"
	;;
esac
