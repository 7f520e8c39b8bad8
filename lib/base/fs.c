/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum { TREE_DEPTH_MAX = 256, COPY_BUFFER = 1024 * 1024 };

/* One component, never through a link. */
static int open_component(int dir_fd, const char *name, size_t len, int flags, mode_t mode)
{
	char buf[NAME_MAX + 1];
	struct stat st;
	int fd;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return -EXDEV;
	memcpy(buf, name, len);
	buf[len] = '\0';
	do {
		fd = openat(dir_fd, buf, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	/* With O_PATH a link itself is opened. */
	if ((flags & O_PATH) && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
		(void)close(fd);
		return -ELOOP;
	}
	return fd;
}

/*
 * The same without openat2(2), which a service with RestrictSUIDSGID= does not have: a component at
 * a time, each from a descriptor of its parent, so that nothing can be bent in between. Stricter in
 * one thing: no "..", even where it would stay below.
 */
static int open_beneath_stepwise(int dir_fd, const char *path, int flags, mode_t mode)
{
	autoclose int parent = -1;

	if (path[0] == '/')
		return -EXDEV;
	if (path[0] == '\0')
		return -ENOENT;
	for (;;) {
		size_t len = strcspn(path, "/");
		const char *next = path + len + strspn(path + len, "/");
		int at = parent >= 0 ? parent : dir_fd;
		int fd;

		if (*next == '\0')
			return open_component(at, path, len,
					      path[len] ? flags | O_DIRECTORY : flags, mode);
		fd = open_component(at, path, len, O_PATH | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		close_keep_errno(parent);
		parent = fd;
		path = next;
	}
}

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0 && errno == ENOSYS)
		return open_beneath_stepwise(dir_fd, path, flags, mode);
	return fd < 0 ? -errno : (int)fd;
}

int open_regular_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	autoclose int fd = open_beneath(dir_fd, path, flags | O_NONBLOCK, mode);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return take_fd(&fd);
}

int lock_for_process(int fd, pid_t *ret_holder)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	*ret_holder = 0;
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	/* It may be free again by now. */
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
		*ret_holder = lock.l_pid;
	return -EAGAIN;
}

int open_subdir(int dir_fd, const char *name, mode_t mode)
{
	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	return open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
}

int open_dir_create(const char *path, mode_t mode)
{
	autofree char *copy = strdup(path);
	int fd;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Grows as it reads: files below /proc and /sys say nothing true about their size. */
static int read_whole(int fd, size_t max, char **ret_data, size_t *ret_len)
{
	autofree char *data = NULL;
	size_t cap = 0;
	size_t len = 0;

	for (;;) {
		ssize_t n;

		if (cap - len < 2) {
			size_t want = cap ? cap * 2 : 4096;
			char *bigger;

			if (len > max)
				return -EFBIG;
			bigger = realloc(data, want);
			if (!bigger)
				return -ENOMEM;
			data = bigger;
			cap = want;
		}
		n = read(fd, data + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return -EFBIG;
	data[len] = '\0';
	*ret_data = TAKE_PTR(data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	autoclose int fd = open_regular_beneath(dir_fd, path, O_RDONLY, 0);

	return fd < 0 ? fd : read_whole(fd, max, ret_data, ret_len);
}

int read_file(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_whole(fd, max, ret_data, ret_len);
}

int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int open_unnamed(const char *path)
{
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[PATH_MAX];
	int r;

	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd < 0 ? -errno : fd;
	r = snprintf(name, sizeof(name), "%s/unnamed.XXXXXX", path);
	if (r < 0 || (size_t)r >= sizeof(name))
		return -ENAMETOOLONG;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(name);
	return fd;
}

int write_file_at(int dir_fd, const char *path, const void *data, size_t len, mode_t mode)
{
	autoclose int fd = -1;
	uint64_t salt;
	char tmp[300];
	int r;

	if (getrandom(&salt, sizeof(salt), 0) < 0)
		return -errno;
	r = snprintf(tmp, sizeof(tmp), "%s.%016llx.tmp", path, (unsigned long long)salt);
	if (r < 0 || (size_t)r >= sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open_beneath(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return fd;
	r = write_all(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dir_fd, tmp, 0);
		return r;
	}
	return fsync(dir_fd) < 0 ? -errno : 0;
}

/* Not a duplicate, which would share its position with whoever else reads the folder. */
DIR *dir_entries(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		close_keep_errno(fd);
	return dir;
}

static int remove_children(DIR *dir, int depth);

static int remove_one(int dir_fd, const char *name, int depth)
{
	int fd;
	DIR *dir;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth >= TREE_DEPTH_MAX)
		return -ELOOP;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close_keep_errno(fd);
		return r;
	}
	r = remove_children(dir, depth + 1);
	(void)closedir(dir);
	if (r < 0)
		return r;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Goes on after a failure, so that as much as possible is gone; returns the first one. */
static int remove_children(DIR *dir, int depth)
{
	const struct dirent *e;
	int first = 0;

	/* One DIR belongs to one caller, which is all that readdir(3) asks.
	 * NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL) {
		int r;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		r = remove_one(dirfd(dir), e->d_name, depth);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

int remove_tree_at(int dir_fd, const char *name)
{
	return remove_one(dir_fd, name, 0);
}

/* For two file systems that can't copy between themselves. */
static int copy_through_buffer(int src_fd, int dst_fd, off_t from, off_t end)
{
	autofree char *buf = malloc(COPY_BUFFER);

	if (!buf)
		return -ENOMEM;
	while (from < end) {
		size_t want = end - from < COPY_BUFFER ? (size_t)(end - from) : COPY_BUFFER;
		ssize_t n = pread(src_fd, buf, want, from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(dst_fd, buf + done, (size_t)(n - done), from + done);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return w < 0 ? -errno : -EIO;
			done += w;
		}
		from += n;
	}
	return 0;
}

static int copy_extent(int src_fd, int dst_fd, off_t from, off_t end)
{
	off_t in = from;
	off_t out = from;

	while (in < end) {
		ssize_t n = copy_file_range(src_fd, &in, dst_fd, &out, (size_t)(end - in), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL))
			return copy_through_buffer(src_fd, dst_fd, in, end);
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
	}
	return 0;
}

int copy_sparse(int src_fd, int dst_fd)
{
	struct stat st;
	off_t pos = 0;

	if (ioctl(dst_fd, FICLONE, src_fd) == 0)
		return 0;
	if (fstat(src_fd, &st) < 0 || ftruncate(dst_fd, st.st_size) < 0)
		return -errno;
	while (pos < st.st_size) {
		off_t data = lseek(src_fd, pos, SEEK_DATA);
		off_t hole;
		int r;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			return -errno;
		hole = lseek(src_fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_extent(src_fd, dst_fd, data, hole);
		if (r < 0)
			return r;
		pos = hole;
	}
	return 0;
}

char *path_join(const char *a, const char *b)
{
	char *s = NULL;

	return asprintf(&s, "%s/%s", a, b) < 0 ? NULL : s;
}
