/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM kept ready, one for each shape that was asked for lately: restored from the shape's
 * template, taken through what every VM does first, and paused. The next VM of the shape is this
 * one under its name: its memory need not be loaded, and its monitor has translated its code.
 *
 * It takes processor time once and some memory for as long as it waits; it goes when its shape has
 * not been asked for during STANDBY_IDLE_S, with its template, and when the server ends.
 *
 * Its folders are those of a VM under the id that the next one gets; so whatever a crash leaves of
 * it goes with the next start's sweep. All on the loop's thread unless a comment says "worker".
 */
#pragma once

#include "server/vm/template.h"

enum { STANDBY_MAX = 64, STANDBY_IDLE_S = 15 * 60 };

struct standby;
struct standbys;

/* At most `max` at a time, of the shapes asked for last; 0: none ever. */
int standbys_new(struct templates *templates, struct vms *vms, unsigned int max,
		 struct standbys **ret_standbys, struct error *err) MUST_USE;
/* Ends them, and none is made any more: operations that the loop must run on for. */
void standbys_stop(struct standbys *all);
/* Without operations: they have ended. NULL is fine. */
void standbys_free(struct standbys *all);

/* A VM of this template's shape was made, or one is expected: another is got ready once no VM
 * starts. */
void standby_want(struct standbys *all, const struct template *one);
/* The template goes: so does what was made from it. */
void standby_drop(struct standbys *all, const char *key);

/* Id of the one that is ready, which the VM that takes it must have; NULL: none. */
const char *standby_id(const struct standbys *all, const char *key);
/* Gives it to the caller; NULL unless it is there and has that id. */
struct standby *standby_take(struct standbys *all, const char *key, const char *id);
/*
 * Worker: it goes on, on the network of `config`, which otherwise is as it was made. *ret_proc is
 * its VMM then, and the folders are the caller's. It has an own identity, but for the name.
 */
int standby_wake(struct standby *one, const struct vmm_config *config, const struct vmm_wait *wait,
		 struct proc *ret_proc, struct error *err) MUST_USE;
/* Any thread: ends one that was taken, unless it was woken. NULL is fine. */
void standby_free(struct standby *one);
