/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system: an overlay of the image (squashfs, read-only, shared by all VMs) and the
 * VM's own work disk (ext4). The layers' own mounts are detached once the overlay holds them, so
 * that nobody in the guest can write to a layer behind the overlay's back.
 */
#include "agent/boot/boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"

/* Its header is younger than the call. */
#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

enum { DISK_TRIES = 200, DISK_WAIT_NS = 10 * 1000 * 1000, SERIAL_MAX = 64 };

/* --- disks --- */

static bool serial_is(const char *disk, const char *serial)
{
	autofree char *text = NULL;
	char path[PATH_MAX];
	size_t len;

	(void)snprintf(path, sizeof(path), "/sys/block/%s/serial", disk);
	if (read_file(path, SERIAL_MAX, &text, &len) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return streq(text, serial);
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int find_once(const char *serial, char *path, size_t size)
{
	CLEANUP(closedir_p)
	DIR *dir = opendir("/sys/block");
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		if (e->d_name[0] != '.' && serial_is(e->d_name, serial)) {
			if ((size_t)snprintf(path, size, "/dev/%s", e->d_name) >= size)
				return -ENAMETOOLONG;
			return 0;
		}
	}
	return -ENOENT;
}

int boot_find_disk(const char *serial, char *path, size_t size)
{
	static const struct timespec wait = { .tv_nsec = DISK_WAIT_NS };
	int r = -ENOENT;

	for (int i = 0; i < DISK_TRIES && r == -ENOENT; i++) {
		if (i > 0)
			(void)nanosleep(&wait, NULL);
		r = find_once(serial, path, size);
	}
	return r;
}

/* --- layers --- */

static int mount_disk(const char *serial, const char *dir, const char *type, unsigned long flags,
		      const char *options, struct boot_report *report)
{
	char device[64];
	int r;

	(void)mkdir(dir, 0755);
	r = boot_find_disk(serial, device, sizeof(device));
	if (r < 0) {
		boot_problem(report, "the disk '%s' is not there", serial);
		return r;
	}
	r = mount(device, dir, type, flags, options) < 0 ? -errno : 0;
	/* An older kernel knows fewer options; none is needed. */
	if (r == -EINVAL && options)
		r = mount(device, dir, type, flags, NULL) < 0 ? -errno : 0;
	if (r < 0)
		boot_problem(report, "mount the disk '%s' (%s) as %s: %s", serial, device, type,
			     strerrordesc_np(-r));
	return r;
}

static int mount_named(const struct boot_settings *settings, const char *name, const char *dir,
		       const char *type, unsigned long flags, const char *options,
		       struct boot_report *report)
{
	char serial[SERIAL_MAX];

	boot_disk_serial(settings, name, serial, sizeof(serial));
	return mount_disk(serial, dir, type, flags, options, report);
}

/* The disk may have been made larger since the file system was made. An older kernel, or one disk
 * that can't, is served with what there was. */
static void grow_work(const char *device)
{
	autoclose int disk = open(device, O_RDONLY | O_CLOEXEC);
	autoclose int root = open("/work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statvfs fs;
	uint64_t bytes = 0;
	uint64_t blocks;

	if (disk < 0 || root < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0 ||
	    fstatvfs(root, &fs) < 0 || fs.f_frsize == 0)
		return;
	blocks = bytes / fs.f_frsize;
	(void)ioctl(root, EXT4_IOC_RESIZE_FS, &blocks);
}

/*
 * Nothing that ext4 would do in the background after each mount (ext4(5), and the kernel's
 * Documentation/admin-guide/ext4.rst): the file behind the disk was empty when it was formatted, so
 * inode tables read as zeros already, and bitmaps are read when they are needed.
 */
static const char work_options[] = "noinit_itable,no_prefetch_block_bitmaps";

static int mount_work(const struct boot_settings *settings, struct boot_report *report)
{
	char serial[SERIAL_MAX];
	char device[64];

	if (!settings->work_tmpfs && mount_named(settings, LINK_DISK_WORK, "/work", "ext4",
						 MS_NOATIME, work_options, report) == 0) {
		boot_disk_serial(settings, LINK_DISK_WORK, serial, sizeof(serial));
		if (boot_find_disk(serial, device, sizeof(device)) == 0)
			grow_work(device);
		return 0;
	}
	(void)mkdir("/work", 0755);
	if (mount("tmpfs", "/work", "tmpfs", 0, "mode=0755,size=50%") < 0) {
		boot_problem(report, "mount memory for changes: %s", strerrordesc_np(errno));
		return -EIO;
	}
	return 0;
}

static int mount_overlay(void)
{
	static const char options[] = "lowerdir=/lower,upperdir=/work/upper,workdir=/work/work";

	if ((mkdir("/work/upper", 0755) < 0 && errno != EEXIST) ||
	    (mkdir("/work/work", 0755) < 0 && errno != EEXIST) ||
	    (mkdir("/newroot", 0755) < 0 && errno != EEXIST))
		return -errno;
	if (mount("overlay", "/newroot", "overlay", 0, options) < 0)
		return -errno;
	(void)umount2("/work", MNT_DETACH);
	(void)umount2("/lower", MNT_DETACH);
	return 0;
}

/* --- the switch --- */

static int move_mount_to(const char *path, mode_t mode)
{
	char to[PATH_MAX];

	(void)snprintf(to, sizeof(to), "/newroot%s", path);
	if (mkdir(to, mode) < 0 && errno != EEXIST)
		return -errno;
	return mount(path, to, NULL, MS_MOVE, NULL) < 0 ? -errno : 0;
}

/* Gives the memory of the initramfs back: all of it that is no mount point. */
static void empty_initramfs(int root_fd, dev_t device)
{
	static const char *const names[] = { "init", "modules" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (fstatat(root_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_dev == device)
			(void)remove_tree_at(root_fd, names[i]);
}

static int enter_root(void)
{
	autoclose int old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (old_root < 0 || fstat(old_root, &st) < 0)
		return -errno;
	r = move_mount_to("/dev", 0755);
	if (r == 0)
		r = move_mount_to("/proc", 0555);
	if (r == 0)
		r = move_mount_to("/sys", 0555);
	if (r < 0)
		return r;
	if (chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return -errno;
	empty_initramfs(old_root, st.st_dev);
	return 0;
}

void boot_switch_root(const struct boot_settings *settings, struct boot_report *report)
{
	int r = mount_named(settings, LINK_DISK_ROOT, "/lower", "squashfs", MS_RDONLY, NULL,
			    report);

	if (r < 0 || mount_work(settings, report) < 0)
		return;
	r = mount_overlay();
	if (r < 0) {
		boot_problem(report, "mount the overlay of image and work disk: %s",
			     strerrordesc_np(-r));
		return;
	}
	r = enter_root();
	if (r < 0)
		boot_problem(report, "switch to the new root: %s", strerrordesc_np(-r));
}
