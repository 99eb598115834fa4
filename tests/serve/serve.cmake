# SPDX-License-Identifier: MIT
# Formats and the server, read by programs that are not ours. Label: serve.
set(SERVE_DIR ${CMAKE_CURRENT_SOURCE_DIR}/serve)

# serve_test(NAME PROGRAM ARGS...): PROGRAM.c linked with the core, driven by
# test_NAME.py; 77 means that a reader is not installed.
function(serve_test name program)
	if(NOT TARGET ${program})
		add_executable(${program} serve/${program}.c)
		target_link_libraries(${program} PRIVATE gostat_core
			gostat_flags)
		target_include_directories(${program} PRIVATE
			${CMAKE_CURRENT_SOURCE_DIR})
		target_compile_options(${program} PRIVATE -g)
	endif()
	add_test(NAME serve.${name} COMMAND Python3::Interpreter -B
		${SERVE_DIR}/test_${name}.py $<TARGET_FILE:${program}> ${ARGN})
	set_tests_properties(serve.${name} PROPERTIES LABELS serve
		TIMEOUT 900 SKIP_RETURN_CODE 77)
endfunction()

serve_test(pprof mkprofile ${CMAKE_CURRENT_SOURCE_DIR}/support/profile.proto)
serve_test(metrics mkmetrics)
serve_test(trace mktrace)
# Stacks of a program's threads, and of programs that are installed.
if(TARGET gostat)
	add_executable(threads_app serve/threads_app.c)
	target_link_libraries(threads_app PRIVATE gostat_flags pthread)
	target_include_directories(threads_app PRIVATE
		${PROJECT_SOURCE_DIR}/runtime/include)
	target_compile_options(threads_app PRIVATE -O1 -g -fno-builtin)
	add_library(threads_lib MODULE serve/threads_lib.c)
	target_link_libraries(threads_lib PRIVATE gostat_flags)
	add_dependencies(threads_app threads_lib)
	add_test(NAME serve.threads COMMAND Python3::Interpreter
		${SERVE_DIR}/test_threads.py $<TARGET_FILE:gostat>
		$<TARGET_FILE:threads_app> $<TARGET_FILE:threads_lib>
		${CMAKE_CURRENT_SOURCE_DIR}/support/profile.proto)
	set_tests_properties(serve.threads PROPERTIES LABELS serve
		TIMEOUT 900)
endif()
# Its time-outs are real seconds, of which sanitizers leave too few.
if(NOT GOSTAT_SANITIZE)
	serve_test(httpd httpd_app)
	serve_test(socket httpd_app)
endif()

# Cycles of a real program.
if(TARGET gostat AND NOT GOSTAT_SANITIZE)
	add_test(NAME serve.gc COMMAND Python3::Interpreter
		${SERVE_DIR}/test_gc.py $<TARGET_FILE:gostat>)
	set_tests_properties(serve.gc PROPERTIES LABELS serve TIMEOUT 900)
endif()

# A real Prometheus, socat's relay, and what tools/dashboards has for them.
if(TARGET gostat AND NOT GOSTAT_SANITIZE)
	add_test(NAME serve.prometheus COMMAND Python3::Interpreter
		${SERVE_DIR}/test_prometheus.py $<TARGET_FILE:gostat>
		${PROJECT_SOURCE_DIR})
	set_tests_properties(serve.prometheus PROPERTIES LABELS serve
		TIMEOUT 900 SKIP_RETURN_CODE 77)
endif()
