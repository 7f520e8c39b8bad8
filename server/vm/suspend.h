/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a suspended VM: the folder `suspend` beside its disk. It is good for one resume:
 * from the moment that the guest runs again, its disk and the written memory part.
 */
#pragma once

#include "server/vm/made.h"
#include "server/vm/vm_internal.h"

/* The folder, or -ENOENT. */
int suspend_open(const struct vm *vm) MUST_USE;
/* Its manifest. */
int suspend_look(int dir_fd, struct made *ret_made, struct error *err) MUST_USE;
bool suspend_exists(const struct vm *vm);
/* Removes it, and what a crash has left of one. */
void suspend_discard(const struct vm *vm);

/* The same, for a worker. */
void suspend_forget(const struct verb_job *job);
/* Removes what a crash has left of a suspend or a resume; true when it was in the middle of a
 * resume whose guest may have run. */
bool suspend_sweep(const struct vm *vm);

/* Worker: takes the memory out of use before the guest runs; puts it back, or removes it for good,
 * afterwards. */
int suspend_begin_resume(const struct verb_job *job, struct error *err) MUST_USE;
void suspend_end_resume(const struct verb_job *job, bool runs);
