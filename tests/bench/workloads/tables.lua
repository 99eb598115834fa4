-- SPDX-License-Identifier: MIT
-- tables.lua ROUNDS: tables, closures, string building and matching.
local rounds = tonumber(arg[1]) or error("tables.lua: how many rounds?")
local seed, check = 103, 0

local function number(n)
	seed = (seed * 1103515245 + 12345) % 2147483648
	return (seed >> 8) % n
end

local function make(depth)
	local t = { name = "n" .. number(100000), list = {} }
	for i = 1, 4 do
		t.list[i] = depth > 0 and make(depth - 1) or number(1000)
	end
	t.read = function(i)
		return t.list[i]
	end
	return t
end

local function flat(t, out)
	out[#out + 1] = t.name
	for i = 1, #t.list do
		local v = t.read(i)
		if type(v) == "table" then
			flat(v, out)
		else
			out[#out + 1] = tostring(v)
		end
	end
	return out
end

for _ = 1, rounds do
	local text = table.concat(flat(make(6), {}), ";")
	local count = {}
	for word in text:gmatch("[^;]+") do
		local key = word:sub(1, 4)
		count[key] = (count[key] or 0) + #word
	end
	for _, v in pairs(count) do
		check = (check + v * v) % 4294967296
	end
	check = (check * 31 + #text) % 4294967296
end
print(string.format("check %x", check))
