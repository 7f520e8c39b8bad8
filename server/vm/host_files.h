/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest gets of its host at each start: keys, who commits are by, and the files of
 * [file_sync]. What can't be read here ends the start; what is not there is left out, and what the
 * guest can't take (its disk may be full) is logged.
 */
#pragma once

#include "server/config/file_sync.h"
#include "server/vm/vm_internal.h"

/* One giving. It must live until the VM's process has ended, or vm_give_host_files() has succeeded;
 * host_files_done() then. */
struct host_files {
	int wake_fd;    /* eventfd of the worker; borrowed */
	json_t *home;   /* keys and names; NULL: none */
	int archive_fd; /* -1: no files */
	uint64_t sent;
	uint64_t size;
	struct guest_stream *stream; /* the loop's */
	struct error error;
	bool answered;
};

/* Which files of root's home would be written by now. */
struct host_files_home {
	bool keys;
	bool git;
};

/* Worker: runs git. */
struct host_files_home vm_host_files_home(const struct vm_host_files *config);

#define HOST_FILES_INIT ((struct host_files){ .archive_fd = -1 })

/* Worker. Reads and packs all that there is; best while the guest is on its way. */
int vm_read_host_files(const struct verb_job *job, struct host_files *files,
		       struct error *err) MUST_USE;
/* Worker, once the guest has its identity. */
int vm_give_host_files(struct op *op, struct verb_job *job, struct host_files *files,
		       struct error *err) MUST_USE;
void host_files_done(struct host_files *files);
