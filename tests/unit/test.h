/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka and the headers it needs in front of it, in the order that it needs them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
