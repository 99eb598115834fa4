// SPDX-License-Identifier: MIT

// mkfloats prints floats.txt: the bits of a double, and how strconv ('g', -1)
// and encoding/json spell it. Run: go run mkfloats.go > floats.txt
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"strconv"
)

func show(v float64) {
	b, _ := json.Marshal(v)
	fmt.Printf("%016x %s %s\n", math.Float64bits(v),
		strconv.FormatFloat(v, 'g', -1, 64), b)
}

func main() {
	for e := -324; e <= 308; e += 9 {
		v, _ := strconv.ParseFloat(fmt.Sprintf("1e%d", e), 64)
		show(v)
	}
	for e := -1074; e <= 1023; e += 31 {
		show(math.Ldexp(1, e))
	}
	r := rand.New(rand.NewSource(1))
	for n := 0; n < 100; {
		v := math.Float64frombits(r.Uint64())
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			show(v)
			n++
		}
	}
	for n := 0; n < 100; n++ {
		show(float64(r.Int63()) / math.Pow(10, float64(n%30)))
		show(float64(r.Intn(1e9)) / 1e9)
	}
}
