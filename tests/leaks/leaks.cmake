# SPDX-License-Identifier: MIT
# Programs that know what they leak: one test for each, which run.py describes.
if(NOT TARGET gostat)
	return()
endif()
set(LEAKS_DIR ${CMAKE_CURRENT_LIST_DIR})
set(LEAKS_BIN ${CMAKE_CURRENT_BINARY_DIR}/leaks)
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
	enable_language(CXX)
endif()
find_package(Threads REQUIRED)

# Truths don't depend on the optimizer: each program is built twice.
function(leaks_target name src opt)
	target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
	target_compile_options(${name} PRIVATE ${opt} -g -Wall -Wextra -Werror
		-Wshadow -Wno-infinite-recursion -fno-builtin)
	target_include_directories(${name} PRIVATE
		${PROJECT_SOURCE_DIR}/runtime/include)
	target_link_libraries(${name} PRIVATE Threads::Threads dl)
	set_target_properties(${name} PROPERTIES PREFIX "" ENABLE_EXPORTS ON
		RUNTIME_OUTPUT_DIRECTORY ${LEAKS_BIN}${opt}
		LIBRARY_OUTPUT_DIRECTORY ${LEAKS_BIN}${opt})
endfunction()

file(GLOB sources CONFIGURE_DEPENDS ${LEAKS_DIR}/*.c ${LEAKS_DIR}/*.cc)
foreach(src ${sources})
	get_filename_component(name ${src} NAME_WE)
	get_filename_component(ext ${src} EXT)
	if(ext STREQUAL ".cc" AND NOT CMAKE_CXX_COMPILER)
		continue()
	endif()
	set(programs)
	foreach(opt -O0 -O2)
		set(target leaks_${name}${opt})
		if(name MATCHES "_lib$")
			add_library(${target} MODULE ${src})
		else()
			add_executable(${target} ${src})
			list(APPEND programs $<TARGET_FILE:${target}>)
		endif()
		leaks_target(${target} ${src} ${opt})
		set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
	endforeach()
	if(programs)
		add_test(NAME leaks.${name} COMMAND ${Python3_EXECUTABLE} -B
			${LEAKS_DIR}/run.py --lib $<TARGET_FILE:gostat>
			${src} ${programs})
		# run.py bounds each run; this is for run.py.
		set_tests_properties(leaks.${name} PROPERTIES LABELS preload
			SKIP_RETURN_CODE 77 TIMEOUT 900)
	endif()
endforeach()

add_test(NAME program.leaks_agree COMMAND ${Python3_EXECUTABLE} -B
	${LEAKS_DIR}/agree.py $<TARGET_FILE:gostat>)
set_tests_properties(program.leaks_agree PROPERTIES LABELS programs
	SKIP_RETURN_CODE 77 TIMEOUT 1000)
