# SPDX-License-Identifier: MIT
# Sys against the kernel's list of mappings: within 5 %.
set -eu
command -v perl >/dev/null || exit 77
cat >grow.pl <<'PL'
my %h;
$h{$_} = "x" x 200 for 1 .. 200000;
delete $h{$_} for grep { $_ % 3 } keys %h;
kill USR1 => $$;
my $mapped = 0;
open(my $maps, '<', '/proc/self/maps');
while (<$maps>) {
	my ($lo, $hi, $prot, $name) =
		/^(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)$/ or die;
	$mapped += hex($hi) - hex($lo) if $prot eq 'rw-p' &&
		($name eq '' || $name =~ /libgostat|^\[stack/);
}
open(my $dump, '<', 'dump') or die;
my ($sys) = join('', <$dump>) =~ /"Sys":(\d+)/ or die;
print "Sys $sys, mapped $mapped\n";
exit(abs($sys - $mapped) > $sys / 20);
PL
GOSTAT_DUMP=dump GOSTAT_FORMAT=json LD_PRELOAD=$LIB perl grow.pl
