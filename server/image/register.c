/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/register.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/squashfs.h"
#include "server/image/task.h"

#define PROGRAM "banger-archive"

/* Packing a root file system, in seconds. */
enum { PACK_S = 3600 };

/* --- a squashfs --- */

/* Where it starts, little-endian. */
struct superblock {
	uint32_t magic;
	uint32_t inodes;
	uint32_t mkfs_time;
	uint32_t block_size;
	uint32_t fragments;
	uint16_t compression;
	uint16_t block_log;
	uint16_t flags;
	uint16_t ids;
	uint16_t major;
	uint16_t minor;
	uint64_t root_inode;
	uint64_t bytes_used;
	uint64_t tables[6];
};

static_assert(sizeof(struct superblock) == 96, "as it lies on the disk");

enum { MAGIC = 0x73717368, MAJOR = 4 };

static const struct {
	const char *name;
	bool everywhere; /* each kernel of ours reads it */
} compressions[] = {
	[1] = { "gzip", true }, [2] = { "lzma", false }, [3] = { "lzo", false },
	[4] = { "xz", false },  [5] = { "lz4", true },   [6] = { "zstd", true },
};

static bool read_superblock(int fd, struct superblock *ret_super)
{
	return pread(fd, ret_super, sizeof(*ret_super), 0) == (ssize_t)sizeof(*ret_super) &&
	       le32toh(ret_super->magic) == MAGIC;
}

bool register_is_squashfs(int fd)
{
	struct superblock super;

	return read_superblock(fd, &super);
}

static int check(const struct superblock *super, uint64_t size, struct error *err)
{
	unsigned int major = le16toh(super->major), kind = le16toh(super->compression);
	uint64_t used = le64toh(super->bytes_used);

	if (major != MAJOR)
		return error_set(err, ERR_INVALID,
				 "a squashfs of version %u; kernels read version %d", major, MAJOR);
	if (used < sizeof(*super) || used > size)
		return error_set(err, ERR_INVALID,
				 "the squashfs is cut short: it says that it has %llu bytes, and "
				 "the file has %llu",
				 (unsigned long long)used, (unsigned long long)size);
	if (kind < ARRAY_SIZE(compressions) && compressions[kind].everywhere)
		return 0;
	return error_set(err, ERR_INVALID,
			 "the squashfs is compressed with %s, which not every guest's kernel "
			 "reads; unpack it with \"unsquashfs -d FOLDER\" and register the folder",
			 kind < ARRAY_SIZE(compressions) && compressions[kind].name
				 ? compressions[kind].name
				 : "what nobody knows");
}

int register_squashfs(int fd, const struct staging *staging, struct op *op, struct error *err)
{
	struct superblock super;
	autoclose int to = -1;
	struct stat st;
	int r;

	op_stage(op, "copy");
	if (fstat(fd, &st) < 0 || !read_superblock(fd, &super))
		return error_set(err, ERR_INVALID, "it is no squashfs");
	r = check(&super, (uint64_t)st.st_size, err);
	if (r < 0)
		return r;
	to = open_beneath(staging->fd, SQUASHFS_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600);
	r = to < 0 ? to : copy_sparse(fd, to);
	return r < 0 ? error_errno(err, r, "copy the squashfs") : 0;
}

/* --- a folder --- */

bool register_is_root(int folder_fd)
{
	static const char *const names[] = { "bin", "usr", "sbin" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (faccessat(folder_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	return false;
}

struct packing {
	struct op *op;
	int fd;
};

static int tell(void *data, struct error *err)
{
	const struct packing *p = data;
	struct stat st;

	(void)err;
	if (fstat(p->fd, &st) == 0)
		op_progress(p->op, (uint64_t)st.st_size, 0, "bytes");
	return 0;
}

int register_root(const struct image_paths *paths, int folder_fd, struct op *op, int *ret_fd,
		  struct error *err)
{
	autofree char *program = path_join(paths->libexec, PROGRAM);
	const char *const argv[] = { program, "root", NULL };
	autoclose int out = open_unnamed(paths->cache);
	struct packing packing = { .op = op, .fd = out };
	struct task task = TASK_INIT;
	int r;

	if (!program || out < 0)
		return error_errno(err, program ? out : -ENOMEM, "pack the folder");
	op_stage(op, "pack");
	task.argv = argv;
	task.stdin_fd = folder_fd;
	task.stdout_fd = out;
	task.timeout_s = PACK_S;
	task.tick = tell;
	task.tick_data = &packing;
	r = task_run(&task, op, err);
	if (r < 0)
		return r;
	if (lseek(out, 0, SEEK_SET) < 0)
		return error_errno(err, -errno, "pack the folder");
	*ret_fd = take_fd(&out);
	return 0;
}
