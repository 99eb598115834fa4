# SPDX-License-Identifier: MIT
# Random operations against naive models, through the heap's front door.
file(GLOB MODEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/check_*.c)
foreach(src ${MODEL_SOURCES})
	get_filename_component(name ${src} NAME_WE)
	add_executable(${name} ${src})
	target_link_libraries(${name} PRIVATE gostat_core gostat_flags
		PkgConfig::CHECK m)
	target_include_directories(${name} PRIVATE
		${PROJECT_SOURCE_DIR}/tests)
	add_test(NAME unit.${name} COMMAND ${name})
	set_tests_properties(unit.${name} PROPERTIES
		LABELS "unit;model" TIMEOUT 900
		ENVIRONMENT ${CHECK_ENVIRONMENT})
endforeach()
