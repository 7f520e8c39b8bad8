/* SPDX-License-Identifier: Apache-2.0 */
/* What standby.c, which decides which VMs are kept ready, and standby_make.c share. */
#pragma once

#include "server/vm/rehearsal.h"
#include "server/vm/standby.h"
#include "server/vm/unseen.h"

struct standby {
	struct standbys *all;
	char key[TEMPLATE_KEY_LEN + 1];
	struct made made;            /* of its template */
	bool verified;               /* the template, before */
	struct loop_fd *exit_source; /* while it is ready */

	/* standby_make.c's */
	struct unseen vm;
	struct rehearsal rehearsal;
	bool woken;
};

/* Worker: restores it from the folder of its template, takes it through its rehearsal and pauses
 * it. On failure nothing of it is left but the struct. */
int standby_make(struct standby *one, int template_fd, struct error *err) MUST_USE;
