# SPDX-License-Identifier: MIT
# The command-line tool. Label: tools. Each test has an empty folder of its own.
add_executable(tools_symbolize tools/symbolize.c)
target_link_libraries(tools_symbolize PRIVATE gostat_tools)

function(tools_test name)
	set(dir ${CMAKE_CURRENT_BINARY_DIR}/tools/${name})
	add_test(NAME tools.${name} COMMAND sh -c
		"rm -rf \"$0\" && mkdir -p \"$0\" && cd \"$0\" && exec \"$@\""
		${dir} ${Python3_EXECUTABLE}
		${CMAKE_CURRENT_SOURCE_DIR}/tools/test_${name}.py ${ARGN})
	set_tests_properties(tools.${name} PROPERTIES LABELS tools
		TIMEOUT 900 SKIP_RETURN_CODE 77)
endfunction()

if(DW_FOUND)
	tools_test(symbolize $<TARGET_FILE:tools_symbolize>
		${CMAKE_CURRENT_SOURCE_DIR}/tools/inlined.cc)
endif()
if(ZLIB_FOUND)
	add_executable(tools_profile tools/profile.c)
	target_link_libraries(tools_profile PRIVATE gostat_tools
		PkgConfig::CHECK)
	add_test(NAME tools.profile COMMAND tools_profile)
	set_tests_properties(tools.profile PROPERTIES LABELS tools TIMEOUT 900
		ENVIRONMENT ${CHECK_ENVIRONMENT})
endif()

# Everything below runs the tool, which sanitizers' builds have no library for.
if(NOT TARGET gostat)
	return()
endif()

add_executable(tools_leaky tools/leaky.c)
target_compile_options(tools_leaky PRIVATE -O2 -g -fno-builtin
	-fno-optimize-sibling-calls)
add_executable(tools_pretend tools/pretend.c)
target_link_options(tools_pretend PRIVATE -static)
if(JANSSON_FOUND AND DW_FOUND)
	tools_test(leakcheck $<TARGET_FILE:gostat_tool>
		$<TARGET_FILE:tools_pretend> $<TARGET_FILE:tools_leaky>)
endif()

add_executable(tools_holder tools/holder.c)
target_compile_options(tools_holder PRIVATE -O2 -g -fno-builtin)
if(ZLIB_FOUND AND DW_FOUND AND JANSSON_FOUND)
	tools_test(process $<TARGET_FILE:gostat_tool> $<TARGET_FILE:gostat>
		$<TARGET_FILE:tools_holder>)
	tools_test(cli $<TARGET_FILE:gostat_tool>
		${PROJECT_SOURCE_DIR}/tools/man/gostat.1
		${PROJECT_BINARY_DIR}/tools/libgostat.7)
endif()
