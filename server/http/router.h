/* SPDX-License-Identifier: Apache-2.0 */
/* How document.c fills the router; requests are matched with route_find() in document.h. */
#pragma once

#include "server/http/document.h"

int route_new(struct route **ret_route) MUST_USE;
void route_free(struct route *route);
/* -EEXIST where another operation has the path and method. */
int route_add(struct route *root, const struct operation *operation) MUST_USE;
