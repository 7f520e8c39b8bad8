/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs of a kernel: the agent as /init and the kernel's modules, as an uncompressed newc
 * archive (unpacking costs an emulated guest more than reading a few megabytes from the host's page
 * cache). It is derived data: kept in the cache under the hash of what went in, and made again when
 * it is not there.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"
#include "lib/digest/digest.h"
#include "server/image/image.h"
#include "server/image/newc.h"
#include "server/image/store.h"

#define FORMAT "banger-initramfs-3"

enum { AGENT_MAX = 64 << 20, MODULE_MAX = 64 << 20, LIST_MAX = 64 * 1024 };

/* The archive's end lies within so many last bytes. */
enum { TAIL = 512 };

struct source {
	int modules_fd;
	char *agent;
	size_t agent_len;
	char *list; /* modules/list: a file name a line */
	size_t list_len;
};

static void source_done(struct source *s)
{
	close_keep_errno(s->modules_fd);
	free(s->agent);
	free(s->list);
}

static int source_open(struct source *s, const struct image_paths *paths, const char *kernel_id,
		       struct error *err)
{
	autoclose int kernel = -1;
	int r = read_file(paths->agent, AGENT_MAX, &s->agent, &s->agent_len);

	if (r < 0)
		return error_errno(err, r, "guest agent %s", paths->agent);
	r = entry_open(paths->kernels, kernel_id, &kernel, err);
	if (r < 0)
		return r;
	s->modules_fd = open_beneath(kernel, "modules", O_RDONLY | O_DIRECTORY, 0);
	if (s->modules_fd == -ENOENT) {
		s->list = strdup("");
		return s->list ? 0 : error_errno(err, -ENOMEM, "initramfs");
	}
	r = s->modules_fd < 0
		    ? s->modules_fd
		    : read_file_at(s->modules_fd, "list", LIST_MAX, &s->list, &s->list_len);
	return r < 0 ? error_errno(err, r, "modules of kernel %s", kernel_id) : 0;
}

/* --- writing --- */

static int put(struct newc *ar, const char *name, mode_t mode, dev_t device, const void *data,
	       size_t len, struct error *err)
{
	int r = newc_put(ar, name, mode, device, data, len);

	return r < 0 ? error_errno(err, r, "write initramfs") : 0;
}

/*
 * A module's bytes without the signature at its end. Checking one costs the guest an RSA operation
 * and a hash, together most of the time that loading takes under emulation, and says nothing here:
 * the files come from the same place as the kernel that would check them.
 */
static size_t unsigned_length(const char *data, size_t len)
{
	static const char mark[] = "~Module signature appended~\n";
	const size_t mark_len = sizeof(mark) - 1;
	uint32_t size;

	/* <module> <signature> <12 bytes, the last four of them its size> <mark> */
	if (len < mark_len + 12 || memcmp(data + len - mark_len, mark, mark_len) != 0)
		return len;
	memcpy(&size, data + len - mark_len - sizeof(size), sizeof(size));
	size = be32toh(size);
	return size > len - mark_len - 12 ? len : len - mark_len - 12 - size;
}

static int put_modules(struct newc *ar, const struct source *s, struct error *err)
{
	int r = put(ar, "modules", S_IFDIR | 0755, 0, NULL, 0, err);

	if (r == 0)
		r = put(ar, "modules/list", S_IFREG | 0644, 0, s->list, s->list_len, err);
	for (const char *line = s->list; *line && r == 0;) {
		size_t n = strcspn(line, "\n");
		autofree char *data = NULL;
		size_t len = 0;
		char file[128];
		char name[160];

		if (n == 0 || n >= sizeof(file) || memchr(line, '/', n))
			return error_set(err, ERR_INTERNAL, "modules/list is damaged");
		memcpy(file, line, n);
		file[n] = '\0';
		line += n + (line[n] == '\n');
		r = read_file_at(s->modules_fd, file, MODULE_MAX, &data, &len);
		if (r < 0)
			return error_errno(err, r, "module %s", file);
		(void)snprintf(name, sizeof(name), "modules/%s", file);
		r = put(ar, name, S_IFREG | 0644, 0, data, unsigned_length(data, len), err);
	}
	return r;
}

static int put_all(struct newc *ar, const struct source *s, struct error *err)
{
	static const char *const dirs[] = { "dev", "proc", "sys", "run", "new" };
	int r = put(ar, "init", S_IFREG | 0755, 0, s->agent, s->agent_len, err);

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = put(ar, dirs[i], S_IFDIR | 0755, 0, NULL, 0, err);
	if (r == 0)
		r = put(ar, "dev/console", S_IFCHR | 0600, makedev(5, 1), NULL, 0, err);
	return r < 0 ? r : put_modules(ar, s, err);
}

static int write_archive(int fd, const struct source *s, struct error *err)
{
	struct newc ar = { .fd = fd };
	int r = put_all(&ar, s, err);

	if (r < 0)
		return r;
	r = newc_end(&ar);
	return r < 0 ? error_errno(err, r, "write initramfs") : 0;
}

/* Its end is there. */
static bool file_is_whole(int dir_fd, const char *file)
{
	static const char mark[] = NEWC_END;
	autoclose int fd = open_regular_beneath(dir_fd, file, O_RDONLY, 0);
	char tail[TAIL];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	n = pread(fd, tail, sizeof(tail), st.st_size > TAIL ? st.st_size - TAIL : 0);
	return n > 0 && memmem(tail, (size_t)n, mark, sizeof(mark)) != NULL;
}

/*
 * Of two writers of the same file the first stays: a monitor may be about to open it, and its
 * sandbox knows that very file, not the name.
 */
static int publish(int dir_fd, const char *tmp, const char *file)
{
	if (renameat2(dir_fd, tmp, dir_fd, file, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST && file_is_whole(dir_fd, file))
		return unlinkat(dir_fd, tmp, 0) < 0 ? -errno : 0;
	return renameat(dir_fd, tmp, dir_fd, file) < 0 ? -errno : 0;
}

static int write_file(int dir_fd, const char *file, const struct source *s, struct error *err)
{
	autoclose int fd = -1;
	char tmp[48];
	int r;

	(void)snprintf(tmp, sizeof(tmp), ".new-%s", id_new().s);
	fd = open_beneath(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return error_errno(err, fd, "create initramfs");
	r = write_archive(fd, s, err);
	if (r == 0) {
		r = fsync(fd) < 0 ? -errno : publish(dir_fd, tmp, file);
		r = r < 0 ? error_errno(err, r, "write initramfs") : 0;
	}
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

/* Everything that the archive is made of. */
static int hash_source(const struct source *s, const char *kernel_id, struct digest *ret_digest)
{
	struct digest_stream stream CLEANUP(digest_abandon) = DIGEST_STREAM_INIT;
	int r = digest_start(&stream);

	if (r == 0)
		r = digest_update(&stream, FORMAT, sizeof(FORMAT));
	if (r == 0)
		r = digest_update(&stream, kernel_id, strlen(kernel_id) + 1);
	if (r == 0)
		r = digest_update(&stream, s->list, s->list_len + 1);
	if (r == 0)
		r = digest_update(&stream, s->agent, s->agent_len);
	return r < 0 ? r : digest_finish(&stream, ret_digest);
}

int kernel_initramfs(const struct image_paths *paths, const char *kernel_id, char **ret_path,
		     struct error *err)
{
	struct source s CLEANUP(source_done) = { .modules_fd = -1 };
	autofree char *folder = path_join(paths->cache, "initramfs");
	autoclose int dir = -1;
	struct digest key;
	char file[DIGEST_HEX + 8];
	int r;

	if (!folder)
		return error_errno(err, -ENOMEM, "initramfs");
	r = source_open(&s, paths, kernel_id, err);
	if (r < 0)
		return r;
	r = hash_source(&s, kernel_id, &key);
	if (r < 0)
		return error_errno(err, r, "initramfs");
	(void)snprintf(file, sizeof(file), "%s.cpio", key.hex);
	dir = open_dir_create(folder, 0700);
	if (dir < 0)
		return error_errno(err, dir, "open %s", folder);
	if (!file_is_whole(dir, file)) {
		r = write_file(dir, file, &s, err);
		if (r < 0)
			return r;
	}
	*ret_path = path_join(folder, file);
	return *ret_path ? 0 : error_errno(err, -ENOMEM, "initramfs");
}
