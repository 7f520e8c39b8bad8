# SPDX-License-Identifier: Apache-2.0
# Hardening as one INTERFACE target; each flag is probed. tests/unit/hardening reads the result with readelf.
include(CheckCCompilerFlag)

add_library(banger_hardening INTERFACE)

set(BANGER_HARDENING
	-fstack-protector-strong -fstack-clash-protection -fcf-protection=full
	-fno-strict-overflow -fno-delete-null-pointer-checks)

if(NOT BANGER_SANITIZE)
	list(APPEND BANGER_HARDENING -ftrivial-auto-var-init=zero)
endif()

foreach(flag IN LISTS BANGER_HARDENING)
	string(MAKE_C_IDENTIFIER "HAVE${flag}" var)
	check_c_compiler_flag(${flag} ${var})
	if(${var})
		target_compile_options(banger_hardening INTERFACE ${flag})
	endif()
endforeach()

if(NOT BANGER_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
	target_compile_options(banger_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
target_link_options(banger_hardening INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
