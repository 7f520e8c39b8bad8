/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What wrote a captured folder (a template's, a snapshot's, a suspended VM's), and the checksums of
 * its files: what must be the same before it is used again. Part of the folder's manifest.
 */
#pragma once

#include "lib/digest/digest.h"
#include "server/vm/manifest.h"
#include "server/vm/vm.h"

struct made {
	char vmm[16];
	char vmm_version[32];
	char accel[8];
	char cpu[128]; /* with KVM the guest has seen the host's; "" under emulation */
	char state_sha256[DIGEST_HEX + 1]; /* "" : there is no such file; likewise the next two */
	char memory_sha256[DIGEST_HEX + 1];
	char disk_sha256[DIGEST_HEX + 1];
};

#define MADE_FIELD(type, field)                                                                    \
	{                                                                                          \
#field, MANIFEST_TEXT, offsetof(struct type, made) + offsetof(struct made, field), \
			sizeof(((struct made *)0)->field)                                          \
	}
/* Rows for the manifest of a struct with a member `made`. */
#define MADE_FIELDS(type)                                                              \
	MADE_FIELD(type, vmm), MADE_FIELD(type, vmm_version), MADE_FIELD(type, accel), \
		MADE_FIELD(type, cpu), MADE_FIELD(type, state_sha256),                 \
		MADE_FIELD(type, memory_sha256), MADE_FIELD(type, disk_sha256)

/* As it would be written by this server on this host, without checksums. */
void made_here(const struct vms *vms, struct made *ret_made);

/* What differs from this host, a sentence each: new reference to an array, empty when its memory
 * can be used here. */
json_t *made_mismatches(const struct vms *vms, const struct made *made);
/* The same as one error; 0 when it fits. `what` begins the sentence: "the snapshot's memory". */
int made_fits(const struct vms *vms, const struct made *made, const char *what,
	      struct error *err) MUST_USE;

/* Worker: fills the checksums from the files that are there. */
int made_sum(int dir_fd, struct made *made, struct error *err) MUST_USE;

enum { MADE_STATE = 1 << 0, MADE_MEMORY = 1 << 1, MADE_DISK = 1 << 2, MADE_ALL = (1 << 3) - 1 };

/* Worker: reads the files of `parts` again; ERR_STATE names the first that is damaged or cut short.
 * What has no checksum is not looked at. */
int made_check(int dir_fd, const struct made *made, unsigned int parts, struct error *err) MUST_USE;
