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
		TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

if(DW_FOUND)
	tools_test(symbolize $<TARGET_FILE:tools_symbolize>
		${CMAKE_CURRENT_SOURCE_DIR}/tools/inlined.cc)
endif()
