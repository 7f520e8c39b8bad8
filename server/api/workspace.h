/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of /vms/{vm}/workspace share. */
#pragma once

#include "server/api/handlers.h"

#define API_WORKSPACE_PATH "/root/repo" /* in the guest, unless another is given */

/* The query's path, or the usual one. */
const char *api_workspace_path(const struct http_request *req);
/* What is on record of the VM; new reference, NULL when nothing is. */
int api_workspace_record(struct api *api, const struct vm *vm, json_t **ret_record,
			 struct error *err) MUST_USE;
