/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/workspaces.h"

#include <errno.h>

#include "server/store/store_internal.h"

int workspaces_put(struct store *store, const char *vm_id, const char *document, struct error *err)
{
	int r = store_change(store, STMT_WORKSPACE_PUT, err, "tt", vm_id, document);

	return r < 0 ? r : 0;
}

int workspaces_get(struct store *store, const char *vm_id, char **ret_document, struct error *err)
{
	sqlite3_stmt *s = store_bind(store, STMT_WORKSPACE_GET, "t", vm_id);
	int r = store_step(store, STMT_WORKSPACE_GET, err);
	char *document = r > 0 ? strdup(store_text(s, 0)) : NULL;

	store_reset(store, STMT_WORKSPACE_GET);
	if (r < 0)
		return r;
	if (r > 0 && !document)
		return error_errno(err, -ENOMEM, "workspace");
	*ret_document = document;
	return 0;
}

int workspaces_copy(struct store *store, const char *to_vm_id, const char *from_vm_id,
		    struct error *err)
{
	int r = store_change(store, STMT_WORKSPACE_COPY, err, "tt", to_vm_id, from_vm_id);

	return r < 0 ? r : 0;
}

int workspaces_delete(struct store *store, const char *vm_id, struct error *err)
{
	int r = store_change(store, STMT_WORKSPACE_DELETE, err, "t", vm_id);

	return r < 0 ? r : 0;
}
