/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says of itself. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/*
 * The API's view of the agent's answer to "/stats", which came between these two moments (wall
 * clock, microseconds): only what has the right form, in bounds. New reference.
 */
json_t *guest_stats_json(const json_t *said, int64_t asked_us, int64_t answered_us);
