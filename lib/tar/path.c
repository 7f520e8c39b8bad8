/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

bool tar_path_clean(char *path)
{
	char *to = path;

	for (char *from = path; *from;) {
		size_t len = strcspn(from, "/");

		if (len == 2 && from[0] == '.' && from[1] == '.')
			return false;
		if (len > 0 && !(len == 1 && from[0] == '.')) {
			if (to > path)
				*to++ = '/';
			memmove(to, from, len);
			to += len;
			from += len;
		} else {
			from += len;
		}
		from += *from == '/';
	}
	*to = '\0';
	return true;
}

int tar_path_open(int dir_fd, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int tar_path_parent(int dir_fd, char *path, bool make, const char **ret_name)
{
	char *slash = strrchr(path, '/');
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	*slash = '\0';
	fd = tar_path_open(dir_fd, path);
	for (char *p = path; make && fd == -ENOENT; p++) {
		char *next = strchr(p, '/');
		autoclose int at = -1;
		char *name;

		if (next)
			*next = '\0';
		name = strrchr(path, '/');
		if (name)
			*name = '\0';
		at = name ? tar_path_open(dir_fd, path) : fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
		if (at >= 0 && mkdirat(at, name ? name + 1 : path, 0755) < 0 && errno != EEXIST)
			fd = -errno;
		if (name)
			*name = '/';
		if (!next) {
			fd = fd == -ENOENT ? tar_path_open(dir_fd, path) : fd;
			break;
		}
		*next = '/';
		p = next;
	}
	*slash = '/';
	return fd;
}
