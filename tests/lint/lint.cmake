# SPDX-License-Identifier: MIT
# Checks of the source and of the library's face. Labels: lint, and unit, so
# that nothing lands without them.
if(GOSTAT_SANITIZE)
	return()
endif()
add_test(NAME lint.layers COMMAND ${PROJECT_SOURCE_DIR}/scripts/check-layers.sh)
add_test(NAME lint.orders COMMAND ${Python3_EXECUTABLE} -B
	${PROJECT_SOURCE_DIR}/scripts/check-orders.py)
set_tests_properties(lint.layers lint.orders PROPERTIES
	LABELS "lint;unit" TIMEOUT 900)
if(TARGET gostat)
	add_test(NAME lint.symbols
		COMMAND ${PROJECT_SOURCE_DIR}/scripts/check-symbols.sh
		$<TARGET_FILE:gostat>)
	set_tests_properties(lint.symbols PROPERTIES LABELS "lint;unit" TIMEOUT 900)
endif()
