# SPDX-License-Identifier: Apache-2.0
# BANGER_SANITIZE = "address" (with undefined and leak), "thread", or empty.
set(BANGER_SANITIZE "" CACHE STRING "Sanitizer: address, thread or empty")
option(BANGER_COVERAGE "Instrument for gcov" OFF)

add_library(banger_sanitizers INTERFACE)
if(BANGER_SANITIZE STREQUAL "address")
	set(flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(BANGER_SANITIZE STREQUAL "thread")
	set(flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(BANGER_SANITIZE)
	message(FATAL_ERROR "BANGER_SANITIZE: '${BANGER_SANITIZE}' is not known; use address or thread")
endif()
# A target whose system calls are filtered can't carry a runtime that makes its own: BANGER_PLAIN is set on it.
if(BANGER_SANITIZE)
	set(flags $<$<NOT:$<BOOL:$<TARGET_PROPERTY:BANGER_PLAIN>>>:${flags}>)
	target_compile_options(banger_sanitizers INTERFACE "${flags}")
	target_link_options(banger_sanitizers INTERFACE "${flags}")
endif()
if(BANGER_COVERAGE)
	target_compile_options(banger_sanitizers INTERFACE --coverage -fprofile-update=atomic)
	target_link_options(banger_sanitizers INTERFACE --coverage)
endif()

option(BANGER_FUZZ "Build the fuzz targets with libFuzzer (clang)" OFF)
if(BANGER_FUZZ)
	target_compile_options(banger_sanitizers INTERFACE -fsanitize=fuzzer-no-link)
endif()
