/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root's home gets from the host at each start: keys that open the guest by ssh, and who
 * commits made here are by. What the guest has of its own stays: keys are added, and of
 * ~/.gitconfig a marked block is ours, which is left out where the file has a [user] already.
 * Before a template is captured its files are made, empty, so that its copies need not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/service.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"

#define BLOCK_BEGIN "# >>> banger: from the host, at each start >>>\n"
#define BLOCK_END   "# <<< banger <<<\n"

enum { FILE_MAX = 1024 * 1024 };

struct wanted {
	const char *authorized_keys; /* lines */
	const char *git_name;
	const char *git_email;
	bool prepare_keys;
	bool prepare_git;
};

/* -ENOENT unless the file is there and empty: then it has nothing to lose. */
static int fill_empty(int dir_fd, const char *name, const struct buf *b, mode_t mode)
{
	autoclose int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > 0 || (st.st_mode & 07777) != mode)
		return -ENOENT;
	return write_all(fd, buf_bytes(b), buf_len(b));
}

/*
 * Whole or not at all for whoever reads it; not on the disk at once, which would hold up each start
 * for what the next one writes again. What prepare() has made is written where it is, which takes a
 * third of the work.
 */
static int replace(int dir_fd, const char *name, const struct buf *b, mode_t mode)
{
	char temporary[64];
	autoclose int fd = -1;
	int r;

	if (fill_empty(dir_fd, name, b, mode) == 0)
		return 0;
	(void)snprintf(temporary, sizeof(temporary), "%s.banger", name);
	(void)unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	r = fd < 0 ? -errno : write_all(fd, buf_bytes(b), buf_len(b));
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlinkat(dir_fd, temporary, 0);
	return r;
}

/* --- keys --- */

static bool has_line(const char *text, const char *line, size_t len)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n == len && memcmp(text, line, len) == 0)
			return true;
		text += n;
		text += *text == '\n';
	}
	return false;
}

static int add_keys(int ssh_fd, const char *keys)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *old = NULL;
	size_t len = 0, before;
	int r = read_file_at(ssh_fd, "authorized_keys", FILE_MAX, &old, &len);

	buf_init(&b, (size_t)2 * FILE_MAX);
	if (r < 0 && r != -ENOENT)
		return r;
	r = buf_append(&b, old ? old : "", len);
	if (r == 0 && len > 0 && old[len - 1] != '\n')
		r = buf_append(&b, "\n", 1);
	before = buf_len(&b);
	for (const char *line = keys; *line && r == 0;) {
		size_t n = strcspn(line, "\n");

		if (n > 0 && *line != '#' && !has_line(old ? old : "", line, n)) {
			r = buf_append(&b, line, n);
			if (r == 0)
				r = buf_append(&b, "\n", 1);
		}
		line += n;
		line += *line == '\n';
	}
	if (r < 0 || buf_len(&b) == before)
		return r;
	return replace(ssh_fd, "authorized_keys", &b, 0600);
}

/* --- git --- */

/* A value in quotes, as git reads them. */
static int add_value(struct buf *b, const char *name, const char *value)
{
	int r = buf_printf(b, "\t%s = \"", name);

	for (; *value && r == 0; value++) {
		if (*value == '"' || *value == '\\')
			r = buf_append(b, "\\", 1);
		if (r == 0 && (unsigned char)*value >= ' ')
			r = buf_append(b, value, 1);
	}
	return r == 0 ? buf_append(b, "\"\n", 2) : r;
}

static bool has_user(const char *text)
{
	for (const char *p = text; (p = strstr(p, "[user")) != NULL; p++)
		if (p == text || p[-1] == '\n' || p[-1] == ' ' || p[-1] == '\t')
			return true;
	return false;
}

static int set_git(int home_fd, const struct wanted *w)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *old = NULL, *before = NULL;
	size_t had = 0;
	char *begin, *end, *rest;
	int r = read_file_at(home_fd, ".gitconfig", FILE_MAX, &old, &had);

	buf_init(&b, (size_t)2 * FILE_MAX);
	/* A link leads to a file that somebody keeps: theirs. */
	if (r < 0 && r != -ENOENT)
		return r == -ELOOP ? 0 : r;
	before = old ? strdup(old) : NULL;
	if (old && !before)
		return -ENOMEM;
	begin = old ? strstr(old, BLOCK_BEGIN) : NULL;
	end = begin ? strstr(begin, BLOCK_END) : NULL;
	if (begin && !end)
		return 0;
	rest = end ? end + strlen(BLOCK_END) : old;
	if (begin)
		*begin = '\0';
	if ((old && begin && has_user(old)) || (rest && has_user(rest)))
		return 0;
	/* First, so that what follows in the file goes before it. */
	r = buf_append(&b, BLOCK_BEGIN "[user]\n", strlen(BLOCK_BEGIN "[user]\n"));
	if (r == 0 && w->git_name)
		r = add_value(&b, "name", w->git_name);
	if (r == 0 && w->git_email)
		r = add_value(&b, "email", w->git_email);
	if (r == 0)
		r = buf_append(&b, BLOCK_END, strlen(BLOCK_END));
	if (r == 0 && begin)
		r = buf_append(&b, old, strlen(old));
	if (r == 0 && rest)
		r = buf_append(&b, rest, strlen(rest));
	if (r == 0 && had == buf_len(&b) && memcmp(before, buf_bytes(&b), had) == 0)
		return 0;
	return r < 0 ? r : replace(home_fd, ".gitconfig", &b, 0644);
}

/* --- the home --- */

/* sshd looks at who may write here. */
static int open_home(void)
{
	autoclose int fd = open_dir_create("/root", 0700);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || ((st.st_uid != 0 || st.st_gid != 0) && fchown(fd, 0, 0) < 0) ||
	    ((st.st_mode & 022) && fchmod(fd, st.st_mode & 07755) < 0))
		return -errno;
	return take_fd(&fd);
}

static int give_keys(int home_fd, const char *keys, struct error *err)
{
	autoclose int ssh = open_subdir(home_fd, ".ssh", 0700);
	autoclose int quiet = -1;
	int r = ssh < 0 ? ssh : add_keys(ssh, keys);

	if (r < 0)
		return error_errno(err, r, "write /root/.ssh/authorized_keys");
	/* Whoever comes by ssh wants a shell, no news. Only nice to have. */
	quiet = openat(home_fd, ".hushlogin", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	return 0;
}

/* An empty file where there is none. */
static int prepare(int dir_fd, const char *name, mode_t mode)
{
	autoclose int fd =
		openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

static int prepare_home(int home_fd, const struct wanted *w)
{
	autoclose int ssh = -1;
	int r = 0;

	if (w->prepare_keys) {
		ssh = open_subdir(home_fd, ".ssh", 0700);
		r = ssh < 0 ? ssh : prepare(ssh, "authorized_keys", 0600);
		if (r == 0)
			r = prepare(home_fd, ".hushlogin", 0644);
	}
	return r == 0 && w->prepare_git ? prepare(home_fd, ".gitconfig", 0644) : r;
}

int call_home(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	static const struct json_field fields[] = {
		{ "authorized_keys", JSON_FIELD_STRING, offsetof(struct wanted, authorized_keys),
		  false },
		{ "git_name", JSON_FIELD_STRING, offsetof(struct wanted, git_name), false },
		{ "git_email", JSON_FIELD_STRING, offsetof(struct wanted, git_email), false },
		{ "prepare_keys", JSON_FIELD_BOOL, offsetof(struct wanted, prepare_keys), false },
		{ "prepare_git", JSON_FIELD_BOOL, offsetof(struct wanted, prepare_git), false },
	};
	struct wanted w = { .git_name = NULL };
	autoclose int home = -1;
	int r = body ? json_decode(body, fields, ARRAY_SIZE(fields), &w, err) : 0;

	(void)ret_reply;
	if (r < 0)
		return r;
	if (!agent->in_guest)
		return agent_refuse_outside(err);
	home = open_home();
	if (home < 0)
		return error_errno(err, home, "open /root");
	r = prepare_home(home, &w);
	if (r < 0)
		return error_errno(err, r, "prepare /root");
	if (w.authorized_keys && give_keys(home, w.authorized_keys, err) < 0)
		return error_to_errno(err);
	r = w.git_name || w.git_email ? set_git(home, &w) : 0;
	return r < 0 ? error_errno(err, r, "write /root/.gitconfig") : 0;
}
