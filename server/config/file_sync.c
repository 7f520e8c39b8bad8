/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/file_sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

#define GUEST_HOME "/root/"

enum { MODE_BUILTIN = 0600 };

static bool climbs(const char *path)
{
	for (const char *p = path; *p; p += strcspn(p, "/")) {
		p += strspn(p, "/");
		if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
			return true;
	}
	return false;
}

/* False for "~user/…" too. */
static bool is_rooted(const char *path)
{
	return path[0] == '/' || str_has_prefix(path, "~/");
}

static int check_host(const char *host, struct error *err)
{
	if (strlen(host) >= FILE_SYNC_PATH_MAX)
		return error_set(err, ERR_INVALID, "the host path is longer than %d bytes",
				 FILE_SYNC_PATH_MAX - 1);
	if (!is_rooted(host) || climbs(host))
		return error_set(err, ERR_INVALID,
				 "host path '%.64s' is neither absolute nor ~/…, or has a '..' in "
				 "it",
				 host);
	return 0;
}

static int take_guest(const char *guest, size_t len, struct file_sync *to, struct error *err)
{
	char path[FILE_SYNC_PATH_MAX];
	const char *rest = NULL;

	if (len >= sizeof(path))
		return error_set(err, ERR_INVALID, "the guest path is longer than %zu bytes",
				 sizeof(path) - 1);
	(void)snprintf(path, sizeof(path), "%.*s", (int)len, guest);
	if (str_has_prefix(path, "~/"))
		rest = path + 2;
	else if (str_has_prefix(path, GUEST_HOME))
		rest = path + strlen(GUEST_HOME);
	if (rest)
		rest += strspn(rest, "/");
	if (!rest || !*rest || climbs(rest))
		return error_set(err, ERR_INVALID,
				 "guest path '%.64s' is not below ~ or /root, or has a '..' in it",
				 path);
	len = strlen(rest);
	while (len > 0 && rest[len - 1] == '/')
		len--;
	memcpy(to->guest, rest, len);
	to->guest[len] = '\0';
	return 0;
}

static int take_mode(const char *text, struct file_sync *to, struct error *err)
{
	size_t len = strlen(text);

	to->mode = MODE_BUILTIN;
	if (len == 0)
		return 0;
	if (len < 3 || len > 4 || strspn(text, "01234567") < len)
		return error_set(err, ERR_INVALID,
				 "mode '%.16s' is not three or four octal digits, as 0600", text);
	to->mode = (mode_t)strtoul(text, NULL, 8) & 07777;
	return 0;
}

/* The mode is the last word of the value where there are two. */
int file_sync_parse(const char *host, const char *value, struct file_sync *ret, struct error *err)
{
	struct file_sync one = { .mode = MODE_BUILTIN };
	const char *blank = strrchr(value, ' ');
	size_t guest_len = blank ? (size_t)(blank - value) : strlen(value);
	int r = check_host(host, err);

	while (guest_len > 0 && value[guest_len - 1] == ' ')
		guest_len--;
	if (r == 0)
		r = take_guest(value, guest_len, &one, err);
	if (r == 0)
		r = take_mode(blank ? blank + 1 : "", &one, err);
	if (r < 0)
		return r;
	(void)snprintf(one.host, sizeof(one.host), "%s", host);
	*ret = one;
	return 0;
}
