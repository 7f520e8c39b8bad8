/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that can open only the files it was meant to (Landlock), and can make no connection,
 * not to a unix socket either, nor look into another process (seccomp): a guest which has broken
 * out of its VMM finds neither other VMs' disks, nor templates, nor the user's files, and does not
 * reach the server, whose owner it is by its uid. Descriptors that it is given work as ever. No
 * privilege is needed.
 */
#pragma once

#include "lib/base/error.h"
#include "lib/proc/proc.h"

enum { CONFINE_RULES_MAX = 32 };

enum confine_access {
	CONFINE_READ,  /* a file, or all that is below a folder: read, list, execute */
	CONFINE_WRITE, /* a file: read, write, truncate */
	CONFINE_TREE,  /* a folder: regular files and folders below it, all that can be done to them
			*/
};

struct confine_rules {
	struct {
		const char *path; /* borrowed; one that does not exist is no rule */
		enum confine_access access;
	} v[CONFINE_RULES_MAX];
	size_t n;
};

/* Adds a rule; more than CONFINE_RULES_MAX is a programming error. */
void confine_allow(struct confine_rules *rules, const char *path, enum confine_access access);

/* What any dynamically linked program needs: system folders, /proc, /sys and a few devices. */
void confine_allow_system(struct confine_rules *rules);

/* Version of Landlock in this kernel; 0: there is none. */
int confine_version(void);

/*
 * proc_spawn() of a process under these rules. Where the kernel has no Landlock it is started
 * without that part. Blocks for a moment; any thread.
 */
int confine_spawn(const struct proc_spec *spec, const struct confine_rules *rules,
		  struct proc *ret_proc, struct error *err) MUST_USE;
