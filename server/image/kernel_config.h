/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of the project's own guest kernel, a part of the program. */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

/* Lines "CONFIG_X=y" and comments; ends with a NUL. */
const char *kernel_config_text(void);
size_t kernel_config_size(void);

/*
 * Holds a kernel's .config against what a guest of ours needs, built in or as a module:
 * ERR_INVALID lists what is missing, and what each is for.
 */
int kernel_config_check(const char *config, struct error *err) MUST_USE;
