# SPDX-License-Identifier: MIT
# Real programs, plain against preloaded: one test for each case of cases.py.
if(NOT TARGET gostat)
	return()
endif()
set(PROGRAMS_DIR ${CMAKE_CURRENT_LIST_DIR})
set(PROGRAMS_BIN ${CMAKE_CURRENT_BINARY_DIR}/programs)

# The small ones of our own. They know nothing of gostat, its flags included:
# malloc must be called where the source says so, at -O1 too.
file(GLOB sources CONFIGURE_DEPENDS ${PROGRAMS_DIR}/*.c)
find_package(Threads REQUIRED)
foreach(src ${sources})
	get_filename_component(name ${src} NAME_WE)
	if(name MATCHES "_lib$")
		add_library(program_${name} SHARED ${src})
		set_target_properties(program_${name} PROPERTIES PREFIX "")
	else()
		add_executable(program_${name} ${src})
		target_link_libraries(program_${name} PRIVATE
			Threads::Threads m)
	endif()
	target_compile_definitions(program_${name} PRIVATE _GNU_SOURCE)
	target_compile_options(program_${name} PRIVATE -Wall -Wextra -Werror
		-Wshadow -Wno-clobbered -Wno-use-after-free -fno-builtin -O1)
	set_target_properties(program_${name} PROPERTIES
		OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROGRAMS_BIN}
		LIBRARY_OUTPUT_DIRECTORY ${PROGRAMS_BIN})
endforeach()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
	${PROGRAMS_DIR}/cases.py ${PROGRAMS_DIR}/compare.py)
execute_process(COMMAND ${Python3_EXECUTABLE} ${PROGRAMS_DIR}/compare.py --list
	OUTPUT_VARIABLE cases OUTPUT_STRIP_TRAILING_WHITESPACE
	COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" cases "${cases}")
foreach(name ${cases})
	add_test(NAME program.${name} COMMAND ${Python3_EXECUTABLE}
		${PROGRAMS_DIR}/compare.py --lib $<TARGET_FILE:gostat>
		--bin ${PROGRAMS_BIN} ${name})
	# compare.py bounds each run itself; this is for compare.py.
	set_tests_properties(program.${name} PROPERTIES LABELS programs
		SKIP_RETURN_CODE 77 TIMEOUT 3000)
endforeach()

# Cycles all the time. First those that mind the helper, which may have none.
set(minding seccomp-strict seccomp-filter chroot user-namespace memcached nginx
	vfork valgrind-none lowest execs fork-threads closed-descriptors abort signals coroutines)
set(growing python-json python-pool perl ruby php lua node java vim git
	sqlite3 jq postgres)
set(often_report GOGC=20)
set(often_reclaim GOGC=20 GOSTAT_GC=reclaim)
foreach(mode report reclaim)
	list(TRANSFORM often_${mode} PREPEND --set= OUTPUT_VARIABLE set)
	add_test(NAME program.${mode}.minding COMMAND ${Python3_EXECUTABLE}
		${PROGRAMS_DIR}/compare.py --lib $<TARGET_FILE:gostat>
		--bin ${PROGRAMS_BIN} ${set} ${minding})
	add_test(NAME program.${mode}.growing COMMAND ${Python3_EXECUTABLE}
		${PROGRAMS_DIR}/compare.py --lib $<TARGET_FILE:gostat>
		--bin ${PROGRAMS_BIN} ${set} --cycles ${growing})
	set_tests_properties(program.${mode}.minding program.${mode}.growing
		PROPERTIES LABELS programs SKIP_RETURN_CODE 77 TIMEOUT 3000)
endforeach()

# With no variable set the library does nothing that anybody can see.
add_test(NAME program.quiet COMMAND ${Python3_EXECUTABLE}
	${PROGRAMS_DIR}/quiet.py $<TARGET_FILE:gostat>)
set_tests_properties(program.quiet PROPERTIES LABELS programs
	SKIP_RETURN_CODE 77 TIMEOUT 900)

add_test(NAME program.atexit COMMAND ${PROGRAMS_DIR}/atexit.sh
	$<TARGET_FILE:gostat>)
set_tests_properties(program.atexit PROPERTIES LABELS programs TIMEOUT 900)
