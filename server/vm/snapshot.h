/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: a VM's disk, and if wanted its memory, at one moment, under an id of their own.
 *
 * A snapshot is a folder <state>/snapshots/<id>: the VMM's state and memory, the work disk,
 * manifest.json. It is written beside, flushed and renamed into place; the manifest says what must
 * match before it can be used again. The VM is paused over memory and disk together, so that
 * neither is ever newer than the other.
 *
 * All on the loop's thread unless a comment says "worker".
 */
#pragma once

#include "server/vm/made.h"
#include "server/vm/vm.h"

struct snapshot {
	char id[ID_LEN + 1];
	char name[64];          /* "" : none was given */
	char vm_id[ID_LEN + 1]; /* of the VM it was taken from, which may be gone */
	char vm_name[64];
	char parent[ID_LEN + 1]; /* the snapshot before it in the VM's history; "" : none */
	char image_id[72];
	char image_name[256];
	char kernel_id[72];
	int64_t vcpus;
	int64_t memory_mib;
	int64_t disk_mib;
	char network[8];
	char init[8];
	struct made made;
	bool memory; /* false: the disk alone */
	int64_t created_ms;
	int64_t size_bytes; /* on disk */
	bool verified; /* in memory only: held against its checksums since the server's start */
	int64_t users; /* in memory only: creates and restores under way */
	bool dropped;  /* in memory only: goes with its last user */
};

struct snapshots;

/* Reads what is there and removes what is half-made. `vms` is borrowed. */
int snapshots_new(struct vms *vms, const char *state_dir, struct snapshots **ret_snapshots,
		  struct error *err) MUST_USE;
void snapshots_free(struct snapshots *snapshots);

struct snapshot *snapshots_find(struct snapshots *snapshots, const char *id);
/* Also one that is deleted but held: for who holds it. */
struct snapshot *snapshots_held(struct snapshots *snapshots, const char *id);
/* The id that stands for it in what was made of it: a fork comes from its parent, as the capture
 * between them has no name and goes. */
static inline const char *snapshot_origin(const struct snapshot *one)
{
	return one->dropped ? one->vm_id : one->id;
}
/* By age; NULL behind the last. */
struct snapshot *snapshots_at(struct snapshots *snapshots, size_t i);

/* As an operation on the VM's queue; its result is {"snapshot": id}. A VM that does not run gives
 * its disk alone. */
int snapshots_take(struct vm *vm, const char *name, bool memory, const char *who,
		   struct op **ret_op, struct error *err) MUST_USE;
int snapshots_delete(struct snapshots *snapshots, const char *id, const char *who,
		     struct error *err) MUST_USE;

/* Holds it for a create or restore; the last release of a dropped one removes it. */
void snapshots_ref(struct snapshot *snapshot);
void snapshots_unref(struct snapshots *snapshots, const char *id);

/* What must match and does not, as one error; 0 when its memory can be used on this host now. */
int snapshots_check(const struct snapshots *s, const struct snapshot *one,
		    struct error *err) MUST_USE;
/* Worker: the folder, so that it can be read although it may be deleted meanwhile. A descriptor or
 * -ENOENT. */
int snapshots_open(const struct snapshots *snapshots, const char *id) MUST_USE;

/* Copies of a running VM: one capture, `count` children named by the server; result {"children":
 * [{"id", "name"}]}. */
int vm_fork(struct vm *vm, uint32_t count, const char *who, struct op **ret_op,
	    struct error *err) MUST_USE;
/* Puts the VM back to what it was, memory included if the snapshot has it. */
int vm_restore(struct vm *vm, struct snapshot *snapshot, const char *who, struct op **ret_op,
	       struct error *err) MUST_USE;

/* Frees all memory of a running or paused VM; it is written to disk. vm_resume() brings it back. */
int vm_suspend(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
