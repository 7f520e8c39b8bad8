/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that must not outlive this program: it is made with an end of its own, at most LEASE_S from
 * now, and a lease moves that end on while this program runs. When the program or the server is
 * killed nobody moves it any more, and the server deletes the VM then, or when it is back.
 *
 * The renewals come from a thread with a client of its own, so that output which nobody takes (a
 * pager, a full pipe) stops none of them.
 */
#pragma once

#include <stdint.h>

#include "cli/client.h"

/* The end of the VM after each renewal, and how often one is sent. */
enum { LEASE_S = 120, LEASE_RENEW_MS = 30 * 1000 };

struct lease;

/*
 * Begins to renew the VM at `path` ("/vms/06a…") every `renew_ms`. `end_us` (of clock_mono_us()) is
 * never passed; 0: none. The lease keeps nothing of `client`.
 */
int lease_begin(const struct client *client, const char *path, int64_t end_us, int renew_ms,
		struct lease **ret_lease, struct error *err) MUST_USE;

/* No renewal is under way any more when it returns. NULL is fine. */
void lease_end(struct lease *lease);
