/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/write_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "lib/tar/header.h"

int tar_put(struct tar_entry_out *e, const void *bytes, size_t len)
{
	return tar_out_put(&e->out, bytes, len) < 0 ? -EIO : 0;
}

int tar_put_padding(struct tar_entry_out *e, uint64_t len)
{
	static const uint8_t zeros[TAR_BLOCK];

	return tar_put(e, zeros, (size_t)((TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK));
}

/* "<length of the whole record> key=value\n" */
static int add_pax_bytes(struct tar_entry_out *e, const char *key, const void *value, size_t len)
{
	size_t body = strlen(key) + len + 3;
	size_t digits = 1;
	int r;

	while (snprintf(NULL, 0, "%zu", body + digits) > (int)digits)
		digits++;
	r = buf_printf(&e->pax, "%zu %s=", body + digits, key);
	if (r == 0)
		r = buf_append(&e->pax, value, len);
	return r < 0 ? r : buf_append(&e->pax, "\n", 1);
}

int tar_add_pax(struct tar_entry_out *e, const char *key, const char *value)
{
	return add_pax_bytes(e, key, value, strlen(value));
}

int tar_add_pax_number(struct tar_entry_out *e, const char *key, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return tar_add_pax(e, key, text);
}

static int put_header(struct tar_entry_out *e, struct tar_header *header)
{
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	tar_set_checksum(header);
	return tar_put(e, header, sizeof(*header));
}

/* A text that fits its field goes there, else into the extended header. */
static int set_text(struct tar_entry_out *e, char *field, size_t size, const char *key,
		    const char *text)
{
	size_t len = strlen(text);

	memcpy(field, text, len < size ? len : size);
	return len <= size ? 0 : tar_add_pax(e, key, text);
}

static int set_number(struct tar_entry_out *e, char *field, size_t size, const char *key,
		      uint64_t value)
{
	if (tar_put_number(field, size, value))
		return 0;
	(void)tar_put_number(field, size, 0);
	return tar_add_pax_number(e, key, value);
}

/* Fraction of a second: the header has none. */
static int add_mtime(struct tar_entry_out *e, const struct stat *st)
{
	char text[48];

	if (st->st_mtim.tv_nsec == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%lld.%09ld", (long long)st->st_mtim.tv_sec,
		       st->st_mtim.tv_nsec);
	return tar_add_pax(e, "mtime", text);
}

static int add_xattr(struct tar_entry_out *e, int fd, const char *name)
{
	char key[256 + 32];
	char value[TAR_XATTR_MAX];
	ssize_t n = fgetxattr(fd, name, value, sizeof(value));

	if (n < 0)
		return 0; /* too long, or gone meanwhile */
	(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", name);
	return add_pax_bytes(e, key, value, (size_t)n);
}

int tar_add_xattrs(struct tar_entry_out *e, int fd)
{
	char names[TAR_XATTRS_MAX];
	ssize_t n = e->xattrs ? flistxattr(fd, names, sizeof(names)) : 0;
	int r = 0;

	for (ssize_t at = 0; r == 0 && at < n; at += (ssize_t)strlen(names + at) + 1)
		if (str_has_prefix(names + at, "user.") || streq(names + at, "security.capability"))
			r = add_xattr(e, fd, names + at);
	return r < 0 ? error_errno(e->err, r, "describe %.300s", e->path) : 0;
}

static int put_pax(struct tar_entry_out *e)
{
	struct tar_header header = { .type = 'x' };

	if (buf_len(&e->pax) == 0)
		return 0;
	memcpy(header.name, "PaxHeaders/entry", 17);
	(void)tar_put_number(header.mode, sizeof(header.mode), 0644);
	(void)tar_put_number(header.uid, sizeof(header.uid), 0);
	(void)tar_put_number(header.gid, sizeof(header.gid), 0);
	(void)tar_put_number(header.size, sizeof(header.size), buf_len(&e->pax));
	(void)tar_put_number(header.mtime, sizeof(header.mtime), 0);
	if (put_header(e, &header) < 0 || tar_put(e, buf_bytes(&e->pax), buf_len(&e->pax)) < 0 ||
	    tar_put_padding(e, buf_len(&e->pax)) < 0)
		return -EIO;
	buf_consume(&e->pax, buf_len(&e->pax));
	return 0;
}

int tar_put_entry(struct tar_entry_out *e, const struct stat *st, char type, uint64_t size,
		  const char *link)
{
	struct tar_header header = { .type = type };
	time_t seconds = st->st_mtim.tv_sec > 0 ? st->st_mtim.tv_sec : 0;
	bool device = type == '3' || type == '4';

	(void)tar_put_number(header.mode, sizeof(header.mode),
			     e->mode ? e->mode : st->st_mode & 07777);
	(void)tar_put_number(header.major, sizeof(header.major), device ? major(st->st_rdev) : 0);
	(void)tar_put_number(header.minor, sizeof(header.minor), device ? minor(st->st_rdev) : 0);
	if (set_text(e, header.name, sizeof(header.name), "path", e->path) < 0 ||
	    set_text(e, header.link, sizeof(header.link), "linkpath", link) < 0 ||
	    set_number(e, header.uid, sizeof(header.uid), "uid",
		       e->owner == TAR_DROP_OWNER ? 0 : st->st_uid) < 0 ||
	    set_number(e, header.gid, sizeof(header.gid), "gid",
		       e->owner == TAR_DROP_OWNER ? 0 : st->st_gid) < 0 ||
	    set_number(e, header.size, sizeof(header.size), "size", size) < 0 ||
	    set_number(e, header.mtime, sizeof(header.mtime), "mtime", (uint64_t)seconds) < 0 ||
	    add_mtime(e, st) < 0)
		return error_errno(e->err, -ENOMEM, "describe %.300s", e->path);
	if (put_pax(e) < 0 || put_header(e, &header) < 0)
		return -EIO;
	return 0;
}
