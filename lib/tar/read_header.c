/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/read_header.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/tar/header.h"

/* --- input --- */

static int ends_early(struct tar_entries *t)
{
	return error_set(t->err, ERR_INVALID, "the archive ends in the middle");
}

/* Returns 1, 0 at a clean end before the first byte, or an error. */
static int read_block(struct tar_entries *t, void *block)
{
	size_t at = 0;

	while (at < TAR_BLOCK) {
		const uint8_t *bytes;
		ssize_t n = tar_in_take(&t->in, TAR_BLOCK - at, &bytes);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return at == 0 ? 0 : ends_early(t);
		memcpy((uint8_t *)block + at, bytes, (size_t)n);
		at += (size_t)n;
	}
	return 1;
}

ssize_t tar_entries_data(struct tar_entries *t, uint64_t max, const uint8_t **ret_bytes)
{
	uint64_t want = t->left < max ? t->left : max;
	ssize_t n;

	if (want == 0)
		return 0;
	n = tar_in_take(&t->in, want < SIZE_MAX ? (size_t)want : SIZE_MAX, ret_bytes);
	if (n == 0)
		return ends_early(t);
	t->left -= n > 0 ? (uint64_t)n : 0;
	return n;
}

int tar_entries_skip(struct tar_entries *t)
{
	const uint8_t *bytes;
	ssize_t n;

	t->left += t->padding;
	t->padding = 0;
	while ((n = tar_entries_data(t, UINT64_MAX, &bytes)) > 0)
		;
	return n < 0 ? -EIO : 0;
}

static void begin_data(struct tar_entries *t, uint64_t size)
{
	t->left = size;
	t->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* All data of an extended header, with a NUL behind it. */
static int read_text(struct tar_entries *t, uint64_t size, char *to, size_t room)
{
	size_t at = 0;

	if (size >= room)
		return error_set(t->err, ERR_INVALID, "the archive has too long a header");
	begin_data(t, size);
	while (at < size) {
		const uint8_t *bytes;
		ssize_t n = tar_entries_data(t, size - at, &bytes);

		if (n < 0)
			return -EIO;
		memcpy(to + at, bytes, (size_t)n);
		at += (size_t)n;
	}
	to[at] = '\0';
	return tar_entries_skip(t);
}

/* --- extended headers --- */

bool tar_parse_u64(const char *s, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno == 0 && *end == '\0';
}

/* "1700000000.123456789"; times before 1970 become 0. */
static void parse_time(const char *s, struct timespec *ret)
{
	char *end;
	long long seconds = strtoll(s, &end, 10);
	long scale = 100000000;

	*ret = (struct timespec){ .tv_sec = seconds > 0 ? seconds : 0 };
	if (*end != '.')
		return;
	for (end++; *end >= '0' && *end <= '9' && scale > 0; end++, scale /= 10)
		ret->tv_nsec += (*end - '0') * scale;
}

static bool take_text(char *to, const char *value)
{
	size_t len = strlen(value);

	if (len >= TAR_NAME_MAX)
		return false;
	memcpy(to, value, len + 1);
	return true;
}

static bool take_record(struct tar_entry *e, const char *key, const char *value)
{
	if (streq(key, "path"))
		return e->has_path = take_text(e->path, value);
	if (streq(key, "linkpath"))
		return e->has_link = take_text(e->link, value);
	if (streq(key, "size"))
		return e->has_size = tar_parse_u64(value, &e->size);
	if (streq(key, "uid"))
		return e->has_uid = tar_parse_u64(value, &e->uid);
	if (streq(key, "gid"))
		return e->has_gid = tar_parse_u64(value, &e->gid);
	if (streq(key, "GNU.sparse.name"))
		return take_text(e->sparse_name, value);
	if (streq(key, "GNU.sparse.realsize"))
		return tar_parse_u64(value, &e->real_size);
	if (streq(key, "GNU.sparse.major"))
		return e->sparse_major = streq(value, "1");
	if (streq(key, "mtime")) {
		e->has_mtime = true;
		parse_time(value, &e->mtime);
	}
	return true;
}

/* Records "<length> <key>=<value>\n". */
static bool parse_pax(struct tar_entry *e, char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		char *end;
		unsigned long n = strtoul(text + at, &end, 10);
		char *key = end + 1;
		char *value;

		if (end == text + at || *end != ' ' || n > len - at || n < 5 ||
		    text[at + n - 1] != '\n' || key >= text + at + n)
			return false;
		text[at + n - 1] = '\0';
		value = strchr(key, '=');
		if (!value)
			return false;
		*value++ = '\0';
		if (!take_record(e, key, value))
			return false;
		at += n;
	}
	return true;
}

static int read_pax(struct tar_entries *t, uint64_t size, bool global)
{
	autofree char *text = malloc(TAR_PAX_MAX);
	int x;

	if (!text)
		return error_errno(t->err, -ENOMEM, "read the archive");
	x = read_text(t, size, text, TAR_PAX_MAX);
	if (x < 0)
		return x;
	if (!global && !parse_pax(&t->entry, text, (size_t)size))
		return error_set(t->err, ERR_INVALID, "the archive has a malformed header");
	return 0;
}

/* --- the header --- */

static bool parse_block(struct tar_entry *e, const struct tar_header *h)
{
	uint64_t mode = 0;
	uint64_t mtime = 0;

	if (!e->has_path && memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
		(void)snprintf(e->path, sizeof(e->path), "%.155s/%.100s", h->prefix, h->name);
	else if (!e->has_path)
		(void)snprintf(e->path, sizeof(e->path), "%.100s", h->name);
	if (!e->has_link)
		(void)snprintf(e->link, sizeof(e->link), "%.100s", h->link);
	if ((!e->has_size && !tar_get_number(h->size, sizeof(h->size), &e->size)) ||
	    (!e->has_uid && !tar_get_number(h->uid, sizeof(h->uid), &e->uid)) ||
	    (!e->has_gid && !tar_get_number(h->gid, sizeof(h->gid), &e->gid)) ||
	    !tar_get_number(h->mode, sizeof(h->mode), &mode))
		return false;
	if (!e->has_mtime && tar_get_number(h->mtime, sizeof(h->mtime), &mtime))
		e->mtime = (struct timespec){ .tv_sec = (time_t)(mtime & INT64_MAX) };
	e->mode = (uint32_t)(mode & 07777);
	e->type = h->type;
	if ((e->type == '3' || e->type == '4') &&
	    (!tar_get_number(h->major, sizeof(h->major), &e->major) ||
	     !tar_get_number(h->minor, sizeof(h->minor), &e->minor)))
		return false;
	if (e->sparse_name[0])
		memcpy(e->path, e->sparse_name, sizeof(e->path));
	return e->size <= INT64_MAX && e->uid < UINT32_MAX && e->gid < UINT32_MAX;
}

int tar_entries_next(struct tar_entries *t)
{
	struct tar_header h;

	memset(&t->entry, 0, sizeof(t->entry));
	for (;;) {
		int x = read_block(t, &h);
		uint64_t size = 0;

		if (x <= 0)
			return x;
		if (tar_all_zero((const uint8_t *)&h, sizeof(h)))
			return 0;
		if (!tar_checksum_fits(&h) || !tar_get_number(h.size, sizeof(h.size), &size))
			return error_set(t->err, ERR_INVALID, "this is not a tar archive");
		if (h.type == 'x' || h.type == 'g') {
			x = read_pax(t, size, h.type == 'g');
		} else if (h.type == 'L') {
			x = read_text(t, size, t->entry.path, sizeof(t->entry.path));
			t->entry.has_path = true;
		} else if (h.type == 'K') {
			x = read_text(t, size, t->entry.link, sizeof(t->entry.link));
			t->entry.has_link = true;
		} else {
			if (!parse_block(&t->entry, &h))
				return error_set(t->err, ERR_INVALID,
						 "the archive has a malformed header");
			begin_data(t, t->entry.size);
			return 1;
		}
		if (x < 0)
			return x;
	}
}
