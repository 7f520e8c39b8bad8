/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: paused VMs of a shape, captured once, from which later VMs of that shape are restored.
 *
 * A template is a folder <state>/templates/<key>: the VMM's snapshot, the work disk as it was at
 * that moment, and manifest.json. The key is a hash over everything that must be the same for a
 * restore to be the boot that it stands for; what does not fit any more is therefore never found,
 * and is collected at the next start. It is captured from a VM that was booted for this alone:
 * nothing that a user did is in it.
 *
 * All on the loop's thread unless a comment says "worker".
 */
#pragma once

#include "server/vm/made.h"
#include "server/vm/vm.h"

enum { TEMPLATE_KEY_LEN = 32 };

struct template
{
	char key[TEMPLATE_KEY_LEN + 1];
	char image_name[256];
	char image_id[72];
	char kernel_id[72];
	int64_t vcpus;
	int64_t memory_mib;
	int64_t disk_mib;
	char network[8];
	char init[8];
	int64_t created_ms;
	int64_t used_ms;
	int64_t size_bytes; /* on disk */
	bool pinned;        /* never collected to make room */
	struct made made;
	bool verified; /* in memory only: held against its checksums since the server's start */
};

struct standbys;
struct templates;

struct templates_config {
	struct vms *vms; /* borrowed */
	const char *state_dir;
	const char *agent; /* path of the agent's binary: its digest is part of every key */
	const char *vmm_version;
	uint64_t max_bytes;   /* the least recently used go beyond this */
	unsigned int standby; /* VMs kept ready: see standby.h */
};

/* Reads what is there, removes what is half-made or fits nothing any more. */
int templates_new(const struct templates_config *config, struct templates **ret_templates,
		  struct error *err) MUST_USE;
void templates_free(struct templates *templates);

/* The key of the shape that a VM has. */
void templates_key(struct templates *templates, const struct vm_row *row,
		   char key[TEMPLATE_KEY_LEN + 1]);
/* The shape of the VMs that a template is for: what their rows have in common. */
void template_shape(const struct template *one, struct vm_row *ret_row);
/* The VMs that are kept ready. */
struct standbys *templates_standbys(struct templates *templates);
/* NULL when there is none. */
struct template *templates_find(struct templates *templates, const char *key);
/* In no order; NULL behind the last. */
const struct template *templates_at(const struct templates *templates, size_t i);

/*
 * Captures a template of the VM's shape from a VM that is booted for this alone, unless there is
 * one; *ret_op is NULL then. One that is on its way already is joined, and pinned if either wants
 * it. Then a VM of the shape is kept ready.
 */
int templates_build(struct templates *templates, const struct vm_row *shape, bool pinned,
		    const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* VMs that were restored from it run on: they hold what they map. */
int templates_delete(struct templates *templates, const char *key, const char *who,
		     struct error *err) MUST_USE;
int templates_pin(struct templates *templates, const char *key, bool pinned,
		  struct error *err) MUST_USE;

/*
 * Worker: opens a template's folder, so that it can be used although it may be deleted meanwhile. A
 * descriptor or -ENOENT.
 */
int templates_open(const struct templates *templates, const char *key) MUST_USE;
/* Its files were held against its checksums and are whole. */
void templates_verified(struct templates *templates, const char *key);
/* A restore has used it: for the order of collection. */
void templates_used(struct templates *templates, const char *key);
