/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/deb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "server/image/archives.h"

enum { BLOCK = 64 * 1024 };

/* The inner archive reads from the outer one's current member. */
struct inner {
	struct archive *outer;
	struct error *err;
};

static la_ssize_t inner_read(struct archive *ar, void *data, const void **ret_block)
{
	struct inner *in = data;
	la_int64_t offset;
	size_t size = 0;
	int r = archive_read_data_block(in->outer, ret_block, &size, &offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK) {
		archive_set_error(ar, archive_errno(in->outer), "%s",
				  archive_error_string(in->outer));
		return -1;
	}
	return (la_ssize_t)size;
}

static int read_data(struct archive *outer, deb_member_fn *fn, void *data, struct error *err)
{
	struct archive *ar CLEANUP(archives_read_p)
	= archive_read_new();
	struct inner in = { .outer = outer, .err = err };
	struct archive_entry *entry;

	if (!ar)
		return error_errno(err, -ENOMEM, "read package");
	if (archives_support_filters(ar) != ARCHIVE_OK ||
	    archive_read_support_format_tar(ar) != ARCHIVE_OK ||
	    archive_read_open(ar, &in, NULL, inner_read, NULL) != ARCHIVE_OK)
		return archives_error(err, ar, "read package");
	for (;;) {
		autofree char *copy = NULL;
		const char *name;
		int r = archive_read_next_header(ar, &entry);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r < ARCHIVE_WARN)
			return archives_error(err, ar, "read package");
		name = archive_entry_pathname(entry);
		copy = strdup(name ? name : "");
		if (!copy)
			return error_errno(err, -ENOMEM, "read package");
		r = fn(data, ar, entry, archives_clean_name(copy), err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

int deb_read(int fd, deb_member_fn *fn, void *data, struct error *err)
{
	struct archive *ar CLEANUP(archives_read_p)
	= archive_read_new();
	struct archive_entry *entry;
	int r;

	if (!ar)
		return error_errno(err, -ENOMEM, "read package");
	if (archive_read_support_format_ar(ar) != ARCHIVE_OK ||
	    archive_read_open_fd(ar, fd, BLOCK) != ARCHIVE_OK)
		return archives_error(err, ar, "read package");
	while ((r = archive_read_next_header(ar, &entry)) >= ARCHIVE_WARN && r != ARCHIVE_EOF) {
		const char *name = archive_entry_pathname(entry);

		if (name && str_has_prefix(name, "data.tar"))
			return read_data(ar, fn, data, err);
	}
	if (r != ARCHIVE_EOF)
		return archives_error(err, ar, "read package");
	return error_set(err, ERR_INVALID, "the package has no data.tar");
}

static int check_size(struct archive_entry *entry, uint64_t max, struct error *err)
{
	la_int64_t size = archive_entry_size(entry);

	if (archive_entry_filetype(entry) != S_IFREG || !archive_entry_size_is_set(entry) ||
	    size < 0)
		return error_set(err, ERR_INVALID, "%.200s is not a regular file",
				 archive_entry_pathname(entry));
	if ((uint64_t)size > max)
		return error_set(err, ERR_TOO_LARGE, "%.200s has more than %llu bytes",
				 archive_entry_pathname(entry), (unsigned long long)max);
	return 0;
}

int deb_member_read(struct archive *ar, struct archive_entry *entry, uint64_t max, void **ret_data,
		    size_t *ret_len, struct error *err)
{
	autofree char *data = NULL;
	size_t len = 0;
	size_t size;
	int r = check_size(entry, max, err);

	if (r < 0)
		return r;
	size = (size_t)archive_entry_size(entry);
	data = malloc(size + 1);
	if (!data)
		return error_errno(err, -ENOMEM, "read package");
	while (len < size) {
		la_ssize_t n = archive_read_data(ar, data + len, size - len);

		if (n < 0)
			return archives_error(err, ar, "read package");
		if (n == 0)
			return error_set(err, ERR_INVALID, "%.200s is truncated",
					 archive_entry_pathname(entry));
		len += (size_t)n;
	}
	data[size] = '\0';
	*ret_data = TAKE_PTR(data);
	*ret_len = size;
	return 0;
}

int deb_member_save(struct archive *ar, struct archive_entry *entry, uint64_t max, int dir_fd,
		    const char *name, mode_t mode, struct error *err)
{
	autofree void *data = NULL;
	autoclose int fd = -1;
	size_t len = 0;
	int r = deb_member_read(ar, entry, max, &data, &len, err);

	if (r < 0)
		return r;
	fd = open_beneath(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return error_errno(err, fd, "create %s", name);
	r = write_all(fd, data, len);
	return r < 0 ? error_errno(err, r, "write %s", name) : 0;
}
