# SPDX-License-Identifier: MIT
# objects.rb ROUNDS: strings too long to embed, hashes, arrays, gsub, sort.
rounds = Integer(ARGV.fetch(0))
rng = Random.new(107)
check = 0

rounds.times do |round|
  index = Hash.new { |hash, key| hash[key] = [] }
  2500.times do |i|
    word = "word-#{rng.rand(2000)}-" + "x" * (20 + i % 60)
    index[word[0, 9]] << word.gsub("x", "yz")
  end
  text = index.sort.map { |key, words| "#{key}: #{words.join(' ')}" }
  joined = text.join("\n")
  counts = joined.split(/[ \n]/).group_by(&:size).transform_values(&:size)
  check = (check * 31 + joined.sum(32) + counts.size) % (1 << 32)
end
puts format("check %x", check)
