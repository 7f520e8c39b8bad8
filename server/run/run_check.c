/* SPDX-License-Identifier: Apache-2.0 */
/* What can be seen to be wrong with a run is refused when it is asked for, not when its turn comes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "server/run/run_internal.h"
#include "server/vm/snapshot.h"

static int check_base64(const json_t *encoded, const char *pointer, struct error *err)
{
	size_t len = json_string_length(encoded);
	autofree unsigned char *bytes = encoded ? malloc(len + 4) : NULL;

	if (!encoded)
		return 0;
	if (!bytes)
		return error_errno(err, -ENOMEM, "run");
	if (base64_decode(json_string_value(encoded), len, bytes) < 0)
		return error_set(err, ERR_INVALID, "%s: is no base64 (RFC 4648, with padding)",
				 pointer);
	return 0;
}

static int check_files(const struct run_spec *s, struct error *err)
{
	const json_t *file;
	size_t i;
	int r = 0;

	json_array_foreach (s->files, i, file) {
		const json_t *encoded = json_object_get(file, "base64");
		char pointer[64];

		(void)snprintf(pointer, sizeof(pointer), "/files/%zu/base64", i);
		if (encoded && json_object_get(file, "content"))
			return error_set(err, ERR_INVALID,
					 "%s: can't stand beside content; leave one of them out",
					 pointer);
		r = check_base64(encoded, pointer, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_vm(const struct runs *runs, const struct run_spec *s, struct error *err)
{
	struct vm_spec spec = { .image = s->image,
				.kernel = s->kernel,
				.vcpus = s->vcpus,
				.memory_mib = s->memory_mib,
				.disk_mib = s->disk_mib,
				.network = s->network,
				.init = s->init,
				.start = true };
	struct vm_row row;

	if (s->from_snapshot) {
		spec.source = snapshots_find(runs->c.snapshots, s->from_snapshot);
		if (!spec.source)
			return error_set(err, ERR_NOT_FOUND,
					 "/from_snapshot: no snapshot '%.64s'; see GET /snapshots",
					 s->from_snapshot);
	}
	return vm_shape(runs->c.vms, &spec, &row, err);
}

int run_check(const struct runs *runs, const struct run_spec *s, struct error *err)
{
	int r;

	if (s->from_snapshot && (s->image || s->kernel || s->vcpus || s->memory_mib ||
				 s->disk_mib || s->network || s->init || s->boot))
		return error_set(err, ERR_INVALID,
				 "/from_snapshot: image, kernel, vcpus, memory_mib, disk_mib, "
				 "network, init and boot come from the snapshot; leave them out");
	r = check_files(s, err);
	if (r == 0)
		r = check_base64(json_object_get(s->workspace, "base64"), "/workspace/base64", err);
	return r < 0 ? r : check_vm(runs, s, err);
}
