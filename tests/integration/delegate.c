/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd does for a service with Delegate= and DelegateSubgroup=: makes its cgroup, marks it
 * as delegated, and runs the program in a leaf below. usage: banger-delegate CGROUP PROGRAM [ARG…]
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int put(const char *dir, const char *file, const char *text)
{
	char path[512];
	int fd;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
	if (r < 0)
		perror(path);
	(void)close(fd);
	return r;
}

int main(int argc, char **argv)
{
	char leaf[256];

	if (argc < 3)
		return 2;
	(void)snprintf(leaf, sizeof(leaf), "%s/server", argv[1]);
	(void)mkdir(argv[1], 0755);
	(void)mkdir(leaf, 0755);
	if (put("/sys/fs/cgroup", "cgroup.subtree_control", "+cpu +memory +pids") < 0 ||
	    setxattr(argv[1], "user.delegate", "1", 1, 0) < 0 || put(leaf, "cgroup.procs", "0") < 0)
		return 1;
	(void)execv(argv[2], argv + 2);
	perror(argv[2]);
	return 1;
}
