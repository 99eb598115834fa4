# SPDX-License-Identifier: MIT
# What README.md says can be done. Label: docs.
if(TARGET gostat)
	find_program(REDIS redis-server)
	if(REDIS)
		add_test(NAME docs.readme COMMAND ${Python3_EXECUTABLE} -B
			${CMAKE_CURRENT_LIST_DIR}/readme.py
			$<TARGET_FILE:gostat>)
		set_tests_properties(docs.readme PROPERTIES LABELS docs
			TIMEOUT 900)
	endif()
endif()
