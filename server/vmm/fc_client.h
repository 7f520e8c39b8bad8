/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's API over its unix socket, through libcurl. One call is one connection; blocking up
 * to the deadline or until the cancel descriptor becomes readable. Replies are bounded; what
 * Firecracker says of an error is quoted, whether it is valid JSON or not (some of it is not).
 */
#pragma once

#include <jansson.h>

#include "lib/base/error.h"
#include "server/vmm/vmm.h"

/* Most bytes of a reply's body, and of all its headers. */
enum { FC_REPLY_MAX = 256 * 1024, FC_HEADERS_MAX = 16 * 1024 };

/*
 * `method` "GET", "PUT" or "PATCH"; `body` is borrowed, NULL for none. The socket is `name` in the
 * folder `dir_fd`. *ret_reply (may be NULL) is a new reference to the reply's document, NULL when
 * it had no body. ERR_UNAVAILABLE while nobody listens.
 */
int fc_call(int dir_fd, const char *name, const char *method, const char *path, const json_t *body,
	    const struct vmm_wait *wait, json_t **ret_reply, struct error *err) MUST_USE;

/* Pure: the reason in an error body: "fault_message" or "error", even when newlines are raw; the
 * body itself when it has neither. One printable line; returns buf. */
char *fc_fault(const char *body, size_t len, char *buf, size_t size);
