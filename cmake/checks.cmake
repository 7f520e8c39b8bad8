# SPDX-License-Identifier: Apache-2.0
# "cmake --build <dir> --target check-style": formatting, clang-tidy, shellcheck and banned functions.
add_custom_target(check-style
	COMMAND ${PROJECT_SOURCE_DIR}/tests/style/run ${CMAKE_BINARY_DIR}
	WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
	USES_TERMINAL VERBATIM)
