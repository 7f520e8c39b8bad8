/* SPDX-License-Identifier: Apache-2.0 */
/* What snapshot.c and archive.c share. */
#pragma once

#include "server/vm/snapshot.h"

struct snapshots {
	struct vms *vms;
	char *dir; /* <state>/snapshots */
	int dir_fd;
	struct snapshot **list;
	size_t n;
	unsigned int archives; /* exports and imports under way */
};

/* Worker: as manifest_read() and manifest_write(). */
int snapshot_read_manifest(int dir_fd, struct snapshot *ret_one) MUST_USE;
int snapshot_write_manifest(int dir_fd, const struct snapshot *one) MUST_USE;

/* Renames the complete folder `staging` to its id and adds it to the list. */
int snapshot_publish(struct snapshots *snapshots, const char *staging, const struct snapshot *one,
		     struct error *err) MUST_USE;
void snapshot_tell_added(struct snapshots *snapshots, const struct snapshot *one, const char *who,
			 const char *op_id);
