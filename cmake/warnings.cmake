# SPDX-License-Identifier: Apache-2.0
# Warnings as one INTERFACE target. -Werror is chosen by the presets, so that packagers with a newer
# compiler are not stopped by a warning that we have not seen yet.
include(CheckCCompilerFlag)

add_library(banger_warnings INTERFACE)

set(BANGER_WARNINGS
	-Wall -Wextra
	-Walloca -Warith-conversion -Wbad-function-cast -Wcast-align=strict -Wcast-qual -Wconversion
	-Wdate-time -Wdouble-promotion -Wduplicated-branches -Wduplicated-cond -Wfloat-equal
	-Wformat=2 -Wformat-overflow=2 -Wformat-signedness -Wformat-truncation=1 -Wimplicit-fallthrough=5
	-Winit-self -Wjump-misses-init -Wlogical-op -Wmissing-declarations -Wmissing-include-dirs
	-Wmissing-prototypes -Wnested-externs -Wnull-dereference -Wold-style-definition
	-Wpointer-arith -Wredundant-decls -Wrestrict -Wshadow -Wshift-overflow=2 -Wsign-conversion
	-Wstrict-overflow=2 -Wstrict-prototypes -Wstringop-overflow=4 -Wswitch-enum -Wtrampolines
	-Wundef -Wunused -Wunused-macros -Wvla -Wwrite-strings)

foreach(flag IN LISTS BANGER_WARNINGS)
	string(MAKE_C_IDENTIFIER "HAVE${flag}" var)
	check_c_compiler_flag(${flag} ${var})
	if(${var})
		target_compile_options(banger_warnings INTERFACE ${flag})
	endif()
endforeach()

option(BANGER_WERROR "Treat compiler warnings as errors" OFF)
if(BANGER_WERROR)
	target_compile_options(banger_warnings INTERFACE -Werror)
endif()

option(BANGER_ANALYZER "Compile with gcc -fanalyzer" OFF)
if(BANGER_ANALYZER)
	target_compile_options(banger_warnings INTERFACE -fanalyzer)
endif()

# Sanitizer instrumentation confuses the warnings that follow the flow of values; the release build judges those.
if(BANGER_SANITIZE)
	target_compile_options(banger_warnings INTERFACE
		-Wno-format-truncation -Wno-format-overflow -Wno-null-dereference -Wno-stringop-overflow
		-Wno-maybe-uninitialized -Wno-strict-overflow)
endif()
