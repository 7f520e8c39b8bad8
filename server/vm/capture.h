/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking down what a VM is at this moment: the part that snapshots, forks and suspension share.
 * Worker.
 */
#pragma once

#include "server/vm/made.h"
#include "server/vm/vm_internal.h"

enum { CAPTURE_MEMORY = 1, CAPTURE_DISK = 2 };

struct capture {
	struct verb_job *job;
	struct op *op;
	int dir_fd;         /* an empty folder; borrowed */
	unsigned int parts; /* CAPTURE_… */
	bool resume;        /* the guest goes on afterwards */
	bool lasting;       /* outlives this run of the server: flushed, with checksums */
	bool sync;          /* the disk alone counts: what the guest holds is written out first */
	struct made *made;  /* filled where it is lasting; borrowed */
	int64_t size_bytes; /* returned: what was written */
};

/*
 * Pauses the VM if it runs, writes state, memory and work.ext4 into the folder, and lets the guest
 * go on if asked, also after a failure; then flushes what was written. A VM without a process gives
 * its disk.
 */
int capture_write(struct capture *capture, struct error *err) MUST_USE;
