# SPDX-License-Identifier: MIT
# hashes.pl ROUNDS: hashes of arrays and strings, split, join, sort, delete.
use strict;
use warnings;

my $rounds = shift // die "hashes.pl: how many rounds?\n";
my $seed = 101;
my $check = 0;

sub number {
	$seed = ($seed * 1103515245 + 12345) % 2147483648;
	return $seed >> 8;
}

sub sum {
	my ($text) = @_;
	$check = ($check * 31 + unpack("%32C*", $text)) % 4294967296;
}

for my $round (1 .. $rounds) {
	my (%words, %index);
	for my $i (1 .. 6000) {
		my $key = sprintf("%x-%d", number() % 5000, $i % 7);
		push @{$words{$key}}, join(" ", map { "v$_" } $i .. $i + 4);
	}
	for my $key (sort keys %words) {
		for my $word (split / /, join(" ", @{$words{$key}})) {
			$index{$word} .= "$key,";
		}
	}
	delete @words{grep { /[02468]-/ } keys %words};
	sum(join "", map { "$_=" . scalar @{$words{$_}} } sort keys %words);
	sum(join "", map { $index{$_} } sort keys %index);
}
printf "check %x\n", $check;
