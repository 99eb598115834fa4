<?php
// SPDX-License-Identifier: MIT
// arrays.php ROUNDS: with USE_ZEND_ALLOC=0 each array and string is a malloc.
mt_srand(109);
$check = 0;
for ($round = 0; $round < (int)$argv[1]; $round++) {
	$rows = [];
	for ($i = 0; $i < 4000; $i++) {
		$rows[] = [
			'id' => $i,
			'name' => 'name ' . mt_rand(0, 99999),
			'tags' => explode(' ', str_repeat("t$i u" . $i % 13 . ' ', 4)),
		];
	}
	$again = json_decode(json_encode($rows), true);
	$groups = [];
	foreach ($again as $row) {
		foreach ($row['tags'] as $tag) {
			$groups[substr($tag, 0, 3)][] = strtoupper($row['name']);
		}
	}
	ksort($groups);
	$lines = array_map(fn($names) => implode(',', $names), $groups);
	$check = ($check * 31 + crc32(implode("\n", $lines))) % 4294967296;
}
printf("check %x\n", $check);
