/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every VM does first, done once by a guest that nobody sees: a command, an identity, the
 * files of root's home. What it costs is then paid, be it in memory that is captured or in a
 * monitor that has translated the code.
 */
#pragma once

#include "server/vm/host_files.h"
#include "server/vm/unseen.h"

struct rehearsal {
	struct unseen *vm;
	json_t *argv;     /* of the command; what it says does not matter. Borrowed */
	json_t *identity; /* body of /identity; taken over */

	/* its own */
	struct host_files_home home;
	bool done; /* the loop's */
};

/* Worker. The guest's link is up, and is given up again. When that fails, the guest may still
 * call back until unseen_end(). */
int rehearse(struct rehearsal *r, struct error *err) MUST_USE;
/* After unseen_end(). */
void rehearsal_done(struct rehearsal *r);
