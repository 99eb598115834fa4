// SPDX-License-Identifier: MIT

// mkmemstats prints memstats.json: encoding/json's spelling of a MemStats
// whose numbers come from a generator that tests/support/sample.h has too.
// Run: go run mkmemstats.go > memstats.json
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"runtime"
)

var state uint64 = 1

// next is a 64-bit xorshift; its width varies, so that short numbers appear.
func next() uint64 {
	state ^= state << 13
	state ^= state >> 7
	state ^= state << 17
	return state >> (state % 64)
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(next())
	case reflect.Uint32:
		v.SetUint(uint64(uint32(next())))
	case reflect.Float64:
		v.SetFloat(float64(next()>>12) / (1 << 60))
	case reflect.Bool:
		v.SetBool(next()&1 == 1)
	case reflect.Struct:
		for i := 0; i < v.NumField(); i++ {
			fill(v.Field(i))
		}
	case reflect.Array:
		for i := 0; i < v.Len(); i++ {
			fill(v.Index(i))
		}
	}
}

func main() {
	var m runtime.MemStats
	fill(reflect.ValueOf(&m).Elem())
	b, err := json.Marshal(&m)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(b)
}
