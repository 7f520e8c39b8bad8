/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/members.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tar/header.h"

enum { BLOCK = sizeof(struct tar_header) };

/* Without "./" in front and '/' behind. */
static void keep_name(const struct tar_header *h, char ret_name[UNPACK_LISTED_NAME_MAX])
{
	char whole[UNPACK_LISTED_NAME_MAX + 8];
	const char *name = whole;
	size_t len;

	if (memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
		(void)snprintf(whole, sizeof(whole), "%.155s/%.100s", h->prefix, h->name);
	else
		(void)snprintf(whole, sizeof(whole), "%.100s", h->name);
	while (str_has_prefix(name, "./"))
		name += 2;
	len = strnlen(name, UNPACK_LISTED_NAME_MAX - 1);
	while (len > 0 && name[len - 1] == '/')
		len--;
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
}

static int tell(const struct tar_header *h, uint64_t at, uint64_t size, members_fn *fn, void *data,
		struct error *err)
{
	struct unpack_listed member = { .at = at, .size = size };

	if (h->type != '0' && h->type != '\0' && h->type != '2')
		return 0;
	keep_name(h, member.name);
	if (h->type == '2')
		(void)snprintf(member.link, sizeof(member.link), "%.100s", h->link);
	return fn(data, &member, err);
}

int members_list(int fd, members_fn *fn, void *data, struct error *err)
{
	struct stat st;
	uint64_t end;

	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "read the archive");
	end = (uint64_t)st.st_size;
	for (uint64_t at = 0; at + BLOCK <= end;) {
		struct tar_header h;
		uint64_t size;
		int r;

		if (pread(fd, &h, sizeof(h), (off_t)at) != (ssize_t)sizeof(h))
			return error_set(err, ERR_INVALID, "the archive is cut short");
		if (h.name[0] == '\0')
			return 0;
		if (!tar_checksum_fits(&h) || !tar_get_number(h.size, sizeof(h.size), &size))
			return error_set(err, ERR_INVALID, "the archive is damaged at byte %llu",
					 (unsigned long long)at);
		at += BLOCK;
		if (h.type == '2' || h.type == '5')
			size = 0;
		if (size > end - at)
			return error_set(err, ERR_INVALID, "the archive is cut short");
		r = tell(&h, at, size, fn, data, err);
		if (r < 0)
			return r;
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return 0;
}
