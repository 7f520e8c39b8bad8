# SPDX-License-Identifier: Apache-2.0
# One folder is one static library: banger_library(<name> <libraries it may use>...). What a folder does not
# list here it can't link, which keeps the arrows between the layers one-way. main.c belongs to a program.
function(banger_library name)
	file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
	list(FILTER sources EXCLUDE REGEX "/main\\.c$")
	add_library(${name} STATIC ${sources})
	target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
	target_link_libraries(${name} PUBLIC ${ARGN}
		PRIVATE banger_warnings banger_hardening PUBLIC banger_sanitizers)
endfunction()

# A program: hardened, position independent. banger_program(<name> <main.c> <libraries>...)
function(banger_program name main)
	add_executable(${name} ${main})
	target_link_libraries(${name} PRIVATE ${ARGN} banger_warnings banger_hardening banger_sanitizers)
	target_link_options(${name} PRIVATE -pie)
endfunction()

# A cmocka unit test, one binary a module: banger_test(<name> <libraries>...) from <name>.c
function(banger_test name)
	add_executable(test_${name} ${name}.c)
	target_link_libraries(test_${name} PRIVATE ${ARGN} PkgConfig::CMOCKA banger_warnings banger_sanitizers)
	add_test(NAME unit.${name} COMMAND test_${name})
	# cmocka ends with 0 when all its tests were skipped; that is told apart from tests that passed.
	set_tests_properties(unit.${name} PROPERTIES TIMEOUT 120 LABELS unit
		SKIP_REGULAR_EXPRESSION "PASSED  \\] 0 test.*SKIPPED TEST\\(S\\)[ \n]*$")
endfunction()
