# SPDX-License-Identifier: MIT
# GOSTAT_LEAKCHECK=exit: every way out is checked, and stays what it was.
set -u
failed=0
export GOSTAT_LEAKCHECK=exit
unset LSAN_OPTIONS

# one WAY STATUS-IF-LEAKED STATUS-IF-CLEAN REPORTS OUTPUT [leak|clean]
one() {
	status=0
	env LD_PRELOAD="$LIB" "$BIN/leaks" "$6" "$1" >out 2>err || status=$?
	wanted=$3
	reports=0
	[ "$6" = clean ] || { wanted=$2; reports=$4; }
	if [ $status != $wanted ] || grep -q ' 777 byte' err ||
		[ "$(grep -c '^Direct leak of 4242 byte(s) in 1 object' err)" \
		!= $reports ] || [ "$(tr '\n' ' ' <out)" != "$5" ] ||
		{ [ $reports = 0 ] && grep -q 'gostat\|leak' err; }
	then
		echo "$6 $1: status $status, wanted $wanted; $reports reports"
		cat out err
		failed=1
	fi
}
way() {
	one "$@" leak
	one "$@" clean
}

for w in return code exit thread threads _exit _Exit quick_exit syscall; do
	way $w 23 4 1 'out '
done
way last 23 0 1 'out last '
way segv 139 139 1 'out '
way abort 134 134 1 'out '
way raise 143 143 1 'out '
way reset 143 143 1 'out '
way handler 143 143 1 'out '
way pipe 141 141 1 'out '
way alarm 142 142 1 'out '
way killed 130 130 1 'out '
for w in execv execvp execl execlp; do
	way $w 6 6 1 'out new inherited '
done
for w in execve execvpe execle fexecve execveat sysexec; do
	way $w 6 6 1 'out new given '
done
way noexec 23 4 1 'out '
way vfork 23 4 1 'out child 0 '

# A forked child answers for what it has allocated itself.
way fork 23 4 1 'out child 5 '
way fork_exit 23 4 1 'out child 5 '
one fork_leak 23 4 2 'out child 23 ' leak

# Statuses, and who sets them.
how=return
expect() { # status, environment...
	wanted=$1
	shift
	status=0
	env "$@" LD_PRELOAD="$LIB" "$BIN/leaks" leak $how >out 2>err ||
		status=$?
	[ $status = $wanted ] || {
		echo "$*: status $status, wanted $wanted"
		cat err
		failed=1
	}
}
has() {
	grep -q "$1" "${2-err}" || { echo "no '$1' in ${2-err}"; cat err; failed=1; }
}
expect 7 GOSTAT_LEAKCHECK_EXITCODE=7
expect 4 GOSTAT_LEAKCHECK_EXITCODE=0
expect 9 LSAN_OPTIONS=exitcode=9
expect 4 LSAN_OPTIONS=exitcode=0
expect 4 GOSTAT_LEAKCHECK_EXITCODE=0 LSAN_OPTIONS=exitcode=9
has '^SUMMARY: LeakSanitizer: 4242 byte(s) leaked in 1 allocation(s)'
expect 4 LSAN_OPTIONS=detect_leaks=0
[ ! -s err ] || { cat err; failed=1; }
expect 4 GOSTAT_LEAKCHECK=off
[ ! -s err ] || { cat err; failed=1; }

# Nothing that was on the stack once keeps a part of a list.
how=lists
expect 23
how=return
has 'byte(s) leaked in 301 allocation(s)'

# Suppressions.
echo 'leak:^leak$' >rules
expect 4 GOSTAT_SUPPRESSIONS=rules
has '^      1       4242 ^leak\$'
expect 4 LSAN_OPTIONS=suppressions=rules
expect 4 LSAN_OPTIONS=suppressions=rules:print_suppressions=0
[ ! -s err ] || { cat err; failed=1; }
: >empty
expect 23 GOSTAT_SUPPRESSIONS=empty
expect 23 GOSTAT_SUPPRESSIONS=nowhere
has '^gostat: cannot read suppressions nowhere: No such file'

# Reports elsewhere.
expect 23 LSAN_OPTIONS=log_path=log
[ ! -s err ] || { cat err; failed=1; }
has '^SUMMARY: ' "$(echo log.*)"
expect 23 LSAN_OPTIONS=log_path=stdout
has '^SUMMARY: ' out
expect 23 GOSTAT_LEAKCHECK_OUT=%e-%n.json
[ ! -s err ] || { cat err; failed=1; }
has '"status":"leaks".*"kind":"direct","objects":1,"bytes":4242,' leaks-1.json
expect 23 GOSTAT_LEAKCHECK_OUT=%e-%n.json
has '"status":"leaks"' leaks-2.json
expect 23 GOSTAT_LEAKCHECK_OUT=/nowhere/x
has '^gostat: leak report to /nowhere/x: No such file'

# An exec that fails takes its report back.
echo 'no program' >bad
chmod +x bad
how=badexec
expect 23 GOSTAT_LEAKCHECK_OUT=bad-%n.json
how=return
[ "$(echo bad-*)" = bad-1.json ] || { ls; failed=1; }

# What was not looked at is not clean.
expect 4 GOSTAT_GC=off
has 'leaks were not checked: GOSTAT_GC=off'
expect 4 GOSTAT_LEAKCHECK_OUT=off.json LSAN_OPTIONS=leak_check_at_exit=0
has '"status":"unchecked","reason":"leak_check_at_exit=0"' off.json
exit $failed
