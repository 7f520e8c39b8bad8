/* SPDX-License-Identifier: Apache-2.0 */
/* What was last put into a VM as its workspace, as a JSON document. It goes with its VM. */
#pragma once

#include "server/store/store.h"

/* Replaces what was recorded of the VM. */
int workspaces_put(struct store *store, const char *vm_id, const char *document,
		   struct error *err) MUST_USE;
/* The caller frees; NULL when nothing is recorded. */
int workspaces_get(struct store *store, const char *vm_id, char **ret_document,
		   struct error *err) MUST_USE;
/* A VM that is made from another's disk has its workspace too. */
int workspaces_copy(struct store *store, const char *to_vm_id, const char *from_vm_id,
		    struct error *err) MUST_USE;
int workspaces_delete(struct store *store, const char *vm_id, struct error *err) MUST_USE;
