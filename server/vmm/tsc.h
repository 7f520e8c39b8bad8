/* SPDX-License-Identifier: Apache-2.0 */
/* The frequency of the host's time stamp counter, which software-emulated guests see unchanged. */
#pragma once

#include <stdint.h>

/*
 * Kilohertz, measured against the raw clock once for the process (about 20 ms on the first call);
 * 0 where the counter does not run at one constant rate. Any thread.
 */
uint32_t tsc_khz(void);
