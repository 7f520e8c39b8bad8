/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that nobody sees, booted by an operation for a purpose of its own and ended with it. Its
 * folders have a VM's form of name but no row, so whatever a crash leaves of it goes with the next
 * start's sweep.
 */
#pragma once

#include "server/vm/vm_internal.h"

struct unseen {
	struct vms *vms;
	struct op *op; /* set by whoever runs it */
	struct vm_row row;
	struct vm_boot boot;
	const struct vmm_driver *driver;
	struct proc proc;
	int wake_fd;

	struct guest *guest; /* the loop's, as what follows */
	bool up;
	struct error guest_error;
};

/* The loop's thread, before the operation: a VM of this shape under an id of its own, which is its
 * name too if that is NULL, and with no way to the bridge. It must stay where it is until
 * unseen_done(). */
int unseen_init(struct unseen *u, struct vms *vms, const struct vm_row *shape, const char *name,
		struct error *err) MUST_USE;
/* After unseen_end(); NULLs are fine. */
void unseen_done(struct unseen *u);

/* --- worker --- */

/* Folders; the caller then puts a disk at boot.work. */
int unseen_prepare(struct unseen *u, int *ret_dir_fd, struct error *err) MUST_USE;
/* Starts the VMM and waits for the guest. */
int unseen_boot(struct unseen *u, struct error *err) MUST_USE;
/* The same from the folder of a capture. */
int unseen_restore(struct unseen *u, int source_fd, struct error *err) MUST_USE;
struct vmm_wait unseen_vmm_wait(const struct unseen *u);
/* Runs fn(data) on the loop's thread; what is then in guest_error is returned. */
int unseen_on_loop(struct unseen *u, loop_fn *fn, void *data, struct error *err) MUST_USE;
/* Waits until somebody sets the flag (release) and calls unseen_wake(). */
int unseen_wait(struct unseen *u, const bool *flag, int timeout_ms, const char *what,
		struct error *err) MUST_USE;
/* The link is given up; the VM goes on. */
int unseen_drop_guest(struct unseen *u, struct error *err) MUST_USE;
/* Ends it and removes its folders. */
void unseen_end(struct unseen *u);
/* The same of one whose link was given up; any thread. */
void unseen_remove(struct unseen *u);

/* --- any thread --- */

void unseen_wake(struct unseen *u);
