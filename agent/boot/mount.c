/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

struct mount_point {
	const char *type;
	const char *path;
	unsigned long flags;
	const char *options;
	mode_t mode;
};

static void mount_one(const struct mount_point *m, struct boot_report *report)
{
	if (mkdir(m->path, m->mode) < 0 && errno != EEXIST) {
		boot_problem(report, "make %s: %s", m->path, strerrordesc_np(errno));
		return;
	}
	if (mount(m->type, m->path, m->type, m->flags, m->options) < 0 && errno != EBUSY)
		boot_problem(report, "mount %s: %s", m->path, strerrordesc_np(errno));
}

void boot_mount_early(struct boot_report *report)
{
	static const struct mount_point points[] = {
		{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
		{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
		{ "devtmpfs", "/dev", MS_NOSUID, "mode=0755", 0755 },
	};
	int console;

	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		mount_one(&points[i], report);
	console = open("/dev/console", O_RDWR | O_NOCTTY);
	if (console < 0)
		console = open("/dev/null", O_RDWR);
	for (int fd = 0; console >= 0 && fd < 3; fd++)
		(void)dup2(console, fd);
	if (console > 2)
		close_keep_errno(console);
}

void boot_mount_late(bool cgroup, struct boot_report *report)
{
	static const struct mount_point points[] = {
		{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666",
		  0755 },
		{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", 0755 },
		{ "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755", 0755 },
	};
	static const struct mount_point control = { "cgroup2", "/sys/fs/cgroup",
						    MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 };
	static const struct {
		const char *target;
		const char *path;
	} links[] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		mount_one(&points[i], report);
	if (cgroup)
		mount_one(&control, report);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		(void)!symlink(links[i].target, links[i].path);
	(void)mkdir("/tmp", 01777);
	(void)chmod("/tmp", 01777);
}
