#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The library exports exactly what preload/gostat.map names, and imports none
# of what has no place inside somebody else's process.
#
#	scripts/check-symbols.sh [LIBRARY]	(default: build/libgostat.so)
set -u
export LC_ALL=C
top=$(readlink -f "$0")
top=${top%/*/*}
lib=${1:-$top/build/libgostat.so}
map=$top/preload/gostat.map
bad=0

exported()
{
	nm -D --defined-only "$lib" | awk '{ sub(/@.*/, "", $NF); print $NF }' |
		sort -u
}

# The names between `global:` and `local:`, comments left out.
named()
{
	tr '\n' ' ' <"$map" | sed 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/: :g
		s/.*global:\(.*\)local:.*/\1/' | tr -s '; \t' '\n\n\n' |
		grep . | sort -u
}

if [ ! -f "$lib" ]; then
	echo "check-symbols: no library at $lib" >&2
	exit 2
fi
if ! diff <(named) <(exported) >/dev/null; then
	comm -23 <(named) <(exported) | sed 's/^/in the map, not exported: /'
	comm -13 <(named) <(exported) | sed 's/^/exported, not in the map: /'
	bad=1
fi

# Formatted or buffered output, locales, a child, an exit that runs handlers.
# (fwrite and stderr are there because malloc_info() and malloc_stats() are
# given a FILE or told to use one.)
never='v?[fsd]?n?printf|v?asprintf|v?f?scanf|fopen|fdopen|fputs|puts|perror'
never+='|setlocale|newlocale|uselocale|strto(d|f|ld)|atof|strerror'
never+='|setenv|putenv|fork|system|popen|exit|dlopen|backtrace(_symbols)?'
used=$(nm -D --undefined-only "$lib" | awk '{ print $NF }' | sed 's/@.*//' |
	grep -xE "(__)?($never)(_chk)?")
if [ -n "$used" ]; then
	printf 'imported, has no place here: %s\n' $used
	bad=1
fi
[ $bad -ne 0 ] || echo "check-symbols: $(exported | wc -l) names"
exit $bad
