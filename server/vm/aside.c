/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

/* True when there is something in the folder; one that is not there is empty. */
static bool has_content(int dir_fd, const char *name)
{
	/* rmdir(2) answers it without reading: an empty folder is made again by whoever needs it.
	 */
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT;
}

static int move(int dir_fd, const char *name, const char *folder, struct error *err)
{
	char target[64];

	(void)snprintf(target, sizeof(target), "%s/%s", folder, name);
	if (mkdirat(dir_fd, folder, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "make the folder %s", folder);
	if (renameat2(dir_fd, name, dir_fd, target, RENAME_NOREPLACE) < 0)
		return error_errno(err, -errno, "move %s to %s", name, target);
	return 0;
}

int vms_set_aside(const char *state_dir, struct error *err)
{
	static const char *const folders[] = { "vms", "snapshots" };
	autoclose int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char folder[32];
	bool moved = false;

	if (dir < 0)
		return error_errno(err, -errno, "open %s", state_dir);
	(void)snprintf(folder, sizeof(folder), "set-aside-%lld", (long long)time(NULL));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (!has_content(dir, folders[i]))
			continue;
		if (move(dir, folders[i], folder, err) < 0)
			return error_wrap(err, "the database is new, but %s has folders of VMs",
					  state_dir);
		moved = true;
	}
	if (moved)
		log_fields(LOG_WARN,
			   "the database is new: disks and snapshots that it does not know are set "
			   "aside",
			   "folder", folder, "of", state_dir, NULL);
	return 0;
}
