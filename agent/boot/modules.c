/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { LIST_MAX = 64 * 1024 };

static int load(const char *dir, const char *name)
{
	char path[PATH_MAX];
	autoclose int fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

void boot_load_modules(const char *dir, struct boot_report *report)
{
	autofree char *list = NULL;
	char path[PATH_MAX];
	size_t len;
	char *save = NULL;
	int r;

	(void)snprintf(path, sizeof(path), "%s/list", dir);
	r = read_file(path, LIST_MAX, &list, &len);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		boot_problem(report, "read the list of modules: %s", strerrordesc_np(-r));
		return;
	}
	for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		r = load(dir, name);
		if (r < 0 && r != -ENODEV)
			boot_problem(report, "load module %s: %s", name, strerrordesc_np(-r));
	}
}
