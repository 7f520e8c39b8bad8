/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/made.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vm/vm_internal.h"

enum { CPUINFO_MAX = 1024 * 1024, LIST_MAX = 400 };

/* --- what must match --- */

/* Of the first processor; the machine's are alike. */
static void host_cpu(char *buf, size_t size)
{
	static const char key[] = "\nmodel name";
	autofree char *text = NULL;
	const char *p =
		read_file("/proc/cpuinfo", CPUINFO_MAX, &text, NULL) < 0 ? NULL : strstr(text, key);

	p = p ? strchr(p, ':') : NULL;
	if (p)
		(void)snprintf(buf, size, "%.*s", (int)strcspn(p + 1, "\n"), p + 2);
}

void made_here(const struct vms *vms, struct made *ret_made)
{
	const struct vms_config *c = &vms->c;

	*ret_made = (struct made){ .vmm = "" };
	(void)snprintf(ret_made->vmm, sizeof(ret_made->vmm), "%s",
		       c->driver ? c->driver->name : "");
	(void)snprintf(ret_made->vmm_version, sizeof(ret_made->vmm_version), "%s", c->vmm_version);
	(void)snprintf(ret_made->accel, sizeof(ret_made->accel), "%s", vmm_accel_name(c->accel));
	if (c->accel == VMM_ACCEL_KVM)
		host_cpu(ret_made->cpu, sizeof(ret_made->cpu));
}

static void compare(json_t *list, const char *what, const char *then, const char *now)
{
	if (!streq(then, now))
		(void)json_array_append_new(list, json_sprintf("%s was %s and is %s", what,
							       then[0] ? then : "none",
							       now[0] ? now : "absent"));
}

json_t *made_mismatches(const struct vms *vms, const struct made *made)
{
	json_t *list = json_array();
	struct made now;

	made_here(vms, &now);
	compare(list, "the VMM", made->vmm, now.vmm);
	compare(list, "its version", made->vmm_version, now.vmm_version);
	compare(list, "acceleration", made->accel, now.accel);
	compare(list, "the processor", made->cpu, now.cpu);
	return list;
}

int made_fits(const struct vms *vms, const struct made *made, const char *what, struct error *err)
{
	json_auto_t *list = made_mismatches(vms, made);
	struct buf b CLEANUP(buf_done) = { 0 };
	const json_t *one;
	size_t i;

	if (json_array_size(list) == 0)
		return 0;
	buf_init(&b, LIST_MAX);
	json_array_foreach (list, i, one)
		(void)!buf_printf(&b, "%s%s", i ? "; " : "", json_string_value(one));
	return error_set(err, ERR_STATE, "%s does not fit this host: %.*s", what, (int)buf_len(&b),
			 (const char *)buf_bytes(&b));
}

/* --- checksums --- */

static const struct {
	const char *name;
	const char *what;
	size_t offset;
	unsigned int part;
} files[] = {
	{ "state", "the VMM's state", offsetof(struct made, state_sha256), MADE_STATE },
	{ "memory", "the memory", offsetof(struct made, memory_sha256), MADE_MEMORY },
	{ "work.ext4", "the disk", offsetof(struct made, disk_sha256), MADE_DISK },
};

int made_sum(int dir_fd, struct made *made, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		autoclose int fd = open_regular_beneath(dir_fd, files[i].name, O_RDONLY, 0);
		struct digest digest = { .hex = "" };
		int r = fd < 0 ? fd : digest_sparse(fd, &digest);

		if (r < 0 && r != -ENOENT)
			return error_errno(err, r, "read %s", files[i].name);
		memcpy((char *)made + files[i].offset, digest.hex, sizeof(digest.hex));
	}
	return 0;
}

int made_check(int dir_fd, const struct made *made, unsigned int parts, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *wanted = (const char *)made + files[i].offset;
		autoclose int fd = -1;
		struct digest digest;
		int r;

		if (!wanted[0] || !(parts & files[i].part))
			continue;
		fd = open_regular_beneath(dir_fd, files[i].name, O_RDONLY, 0);
		r = fd < 0 ? fd : digest_sparse(fd, &digest);
		if (r < 0)
			return error_errno(err, r, "read %s (%s)", files[i].what, files[i].name);
		if (!streq(digest.hex, wanted))
			return error_set(err, ERR_STATE,
					 "%s (%s) is damaged: its checksum is not that of the "
					 "capture; delete it and take another",
					 files[i].what, files[i].name);
	}
	return 0;
}
