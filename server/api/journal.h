/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/api/api.h"

/*
 * From now on every operation is told as events and kept in the store; those that an earlier server
 * left under way are ended as failed. `api` is borrowed for the life of its `ops`.
 */
int api_journal_start(struct api *api, struct error *err) MUST_USE;
