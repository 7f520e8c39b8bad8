/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dashboard's files, for paths that no operation has. Opened below web_root without following
 * links; a precompressed neighbour (.br, .gz) is sent where the client takes it.
 */
#pragma once

#include "server/http/internal.h"

/* True when a file (or, for "/", the page that says how to add them) has been sent. */
bool static_reply(struct http_request *req);
