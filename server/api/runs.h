/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/api/api.h"

/* Replies with the run's log, from the query's `offset` on, until the run has ended. `owner`: the
 * run may end with this client. */
void api_run_follow(struct http_request *req, struct api *api, const char *id, bool owner);
