/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields on their way to a server in a guest and back: what passes, and what is made anew.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/id.h"
#include "server/http/http.h"
#include "server/http/upstream.h"

/* Where the guest's server is, and where it is shown. */
struct proxy_place {
	char vm_id[ID_LEN + 1];
	uint16_t port;
	bool preview; /* at an origin of its own */
};

enum proxy_body { PROXY_BODY_NONE, PROXY_BODY_LENGTH, PROXY_BODY_CHUNKED };

/* "/path?query" as it was sent: what follows /vms/{vm}/proxy/{port}. */
const char *proxy_rest(const struct http_request *req);
/* The whole head of the request. 0, or negative when it does not fit. */
int proxy_put_request(struct buf *out, const struct http_request *req,
		      const struct proxy_place *place, enum proxy_body body,
		      bool may_switch) MUST_USE;
/* Fields of the guest's reply become those of ours. */
void proxy_put_reply(struct http_request *req, const struct upstream *u,
		     const struct proxy_place *place);
