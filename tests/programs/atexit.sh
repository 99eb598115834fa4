#!/bin/bash
# SPDX-License-Identifier: MIT
#
# GOSTAT_ATEXIT_PID: of a program, what it becomes by exec and its children,
# one speaks at its end.
#
#	atexit.sh LIBRARY
set -u
lib=$1
bad=0

# speakers WANTED WHAT: how many dumps a command has printed, and whose.
speakers()
{
	local got

	got=$(sed -n 's/^gostat: MemStats of \([^ ]*\) .*/\1/p' <<<"$said" |
		xargs)
	[ "$got" = "$1" ] || { echo "$2: '$got', not '$1'"; bad=1; }
}

# run PID SCRIPT: a preloaded bash; PID 0 is everybody, else itself.
run()
{
	said=$(bash -c 'export LD_PRELOAD=$1 GOSTAT_ATEXIT=stats
		export GOSTAT_ATEXIT_PID=$(($2 ? $$ : 0))
		exec bash -c "$3"' x "$lib" "$1" "$2" 2>&1)
}

run 1 'ls / >/dev/null; (exit 3) | wc -l >/dev/null; true'
speakers bash 'children are silent'
run 1 'exec env true'
speakers true 'exec keeps it'
run 0 'bash -c :; perl -e 1; true'
speakers 'bash perl bash' 'everybody'
said=$(GOSTAT_ATEXIT=stats GOSTAT_ATEXIT_PID=x LD_PRELOAD=$lib /bin/true 2>&1)
speakers true 'a bad value is reported and ignored'
grep -q 'GOSTAT_ATEXIT_PID.*process number' <<<"$said" || bad=1
exit $bad
