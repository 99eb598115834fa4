# SPDX-License-Identifier: MIT
# libFuzzer targets: clang only, built with -DGOSTAT_FUZZ=ON. Label: fuzz.
#
#	CC=clang cmake -B build-fuzz -DGOSTAT_FUZZ=ON \
#		-DGOSTAT_SANITIZE=address,fuzzer-no-link
#	cmake --build build-fuzz
#	build-fuzz/tests/fuzz_http -max_total_time=600 \
#		-dict=tests/fuzz/http.dict tests/fuzz/corpus/http
#
# The corpus in the tree stays small: seeds written by hand and inputs that
# once failed. As a test, each target runs over its corpus and a few seconds.
option(GOSTAT_FUZZ "build the fuzz targets (needs clang)" OFF)
if(GOSTAT_FUZZ)
	file(GLOB FUZZ_SOURCES CONFIGURE_DEPENDS fuzz/fuzz_*.c)
	foreach(src ${FUZZ_SOURCES})
		get_filename_component(name ${src} NAME_WE)
		string(REPLACE fuzz_ "" corpus ${name})
		add_executable(${name} ${src})
		target_link_libraries(${name} PRIVATE gostat_core gostat_flags)
		target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
		target_link_options(${name} PRIVATE -fsanitize=fuzzer)
		set(found ${CMAKE_CURRENT_BINARY_DIR}/corpus-${corpus})
		file(MAKE_DIRECTORY ${found})
		add_test(NAME fuzz.${corpus} COMMAND ${name} -runs=200000
			-max_total_time=20 ${found}
			${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${corpus})
		set_tests_properties(fuzz.${corpus} PROPERTIES LABELS fuzz)
	endforeach()
endif()
