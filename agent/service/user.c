/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/user.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { FILE_MAX = 4 * 1024 * 1024, FIELDS_MAX = 8 };

static bool parse_id(const char *s, uint32_t *ret)
{
	uint64_t v = 0;

	if (*s == '\0' || strlen(s) > 10 || strspn(s, "0123456789") != strlen(s))
		return false;
	for (; *s; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	if (v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* Cuts a line at its colons; returns the number of fields. */
static size_t split(char *line, char *fields[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX) {
		fields[n++] = line;
		line = strchr(line, ':');
		if (!line)
			break;
		*line++ = '\0';
	}
	return n;
}

static char *read_etc(const char *root, const char *name)
{
	char path[PATH_MAX];
	char *data = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/etc/%s", root, name);
	return read_file(path, FILE_MAX, &data, &len) < 0 ? NULL : data;
}

static void copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

/* By name or, where the name is a number, by number as well. */
static bool find_passwd(const char *root, const char *name, struct user *user)
{
	autofree char *data = read_etc(root, "passwd");
	uint32_t number;
	bool numeric = parse_id(name, &number);
	char *save = NULL;

	for (char *line = data ? strtok_r(data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *f[FIELDS_MAX];
		uint32_t uid;
		uint32_t gid;

		if (split(line, f) < 7 || !parse_id(f[2], &uid) || !parse_id(f[3], &gid))
			continue;
		if (!streq(f[0], name) && !(numeric && uid == number))
			continue;
		user->uid = uid;
		user->gid = gid;
		copy(user->name, sizeof(user->name), f[0]);
		copy(user->home, sizeof(user->home), f[5]);
		copy(user->shell, sizeof(user->shell), f[6]);
		return true;
	}
	return false;
}

static bool lists(char *members, const char *name)
{
	char *save = NULL;

	for (char *m = strtok_r(members, ",", &save); m; m = strtok_r(NULL, ",", &save))
		if (streq(m, name))
			return true;
	return false;
}

/* Looks up `group` (NULL: none) and the groups that list the user. False: no such group. */
static bool find_groups(const char *root, const char *group, struct user *user)
{
	autofree char *data = read_etc(root, "group");
	uint32_t number;
	bool found = !group;
	char *save = NULL;

	if (group && parse_id(group, &number)) {
		user->gid = number;
		found = true;
	}
	for (char *line = data ? strtok_r(data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *f[FIELDS_MAX];
		size_t n = split(line, f);
		uint32_t gid;

		if (n < 3 || !parse_id(f[2], &gid))
			continue;
		if (group && streq(f[0], group)) {
			user->gid = gid;
			found = true;
		}
		if (n > 3 && !group && user->n_groups < USER_GROUPS_MAX && lists(f[3], user->name))
			user->groups[user->n_groups++] = gid;
	}
	return found;
}

static int look_up(const char *root, const char *spec, struct user *ret_user, struct error *err)
{
	struct user user = { .home = "/", .shell = "/bin/sh" };
	char name[128];
	char *group;

	copy(name, sizeof(name), spec && *spec ? spec : "root");
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	if (!find_passwd(root, name, &user)) {
		if (streq(name, "root"))
			copy(user.home, sizeof(user.home), "/root");
		else if (!parse_id(name, &user.uid))
			return error_set(err, ERR_INVALID, "the guest has no user '%s'", name);
		copy(user.name, sizeof(user.name), name);
	}
	if (!find_groups(root, group && *group ? group : NULL, &user))
		return error_set(err, ERR_INVALID, "the guest has no group '%s'", group);
	*ret_user = user;
	return 0;
}

/* --- the user asked for last, good as long as the two files are the same --- */

struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

static void take_stamp(const char *root, const char *name, struct stamp *ret)
{
	char path[PATH_MAX];
	struct stat st;

	memset(ret, 0, sizeof(*ret)); /* padding too: stamps are compared byte by byte */
	(void)snprintf(path, sizeof(path), "%s/etc/%s", root, name);
	if (stat(path, &st) < 0)
		return;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->size = st.st_size;
	ret->changed.tv_sec = st.st_ctim.tv_sec;
	ret->changed.tv_nsec = st.st_ctim.tv_nsec;
}

int user_find(const char *root, const char *spec, struct user *ret_user, struct error *err)
{
	static struct {
		bool valid;
		char root[64];
		char spec[128];
		struct stamp stamps[2];
		struct user user;
	} last;
	struct stamp stamps[2];
	int r;

	spec = spec ? spec : "";
	take_stamp(root, "passwd", &stamps[0]);
	take_stamp(root, "group", &stamps[1]);
	if (last.valid && streq(root, last.root) && streq(spec, last.spec) &&
	    memcmp(stamps, last.stamps, sizeof(stamps)) == 0) {
		*ret_user = last.user;
		return 0;
	}
	r = look_up(root, spec, ret_user, err);
	last.valid = r == 0 && strlen(root) < sizeof(last.root) && strlen(spec) < sizeof(last.spec);
	if (!last.valid)
		return r;
	memcpy(last.root, root, strlen(root) + 1);
	memcpy(last.spec, spec, strlen(spec) + 1);
	memcpy(last.stamps, stamps, sizeof(stamps));
	last.user = *ret_user;
	return 0;
}
