/* SPDX-License-Identifier: Apache-2.0 */
/* cp: files, folders and archives into and out of guests, with the rules of docker cp for names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest_file.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

static int say(const char *path, const char *what)
{
	(void)fprintf(stderr, "banger: %s: %s\n", path, what);
	return EXIT_FAILED;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && streq(s + n - k, end);
}

/* "a/b/" and "a/b" -> "b"; the caller frees. */
static char *last_part(const char *path)
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	return strndup(slash ? slash + 1 : path, slash ? len - (size_t)(slash + 1 - path) : len);
}

/* What is copied into a folder gets its own name there, unless only its contents are meant. */
static char *target_path(const char *source, const char *target, bool into, bool folder)
{
	autofree char *name = last_part(source);

	if (!name)
		return NULL;
	if (!into || (folder && (ends_with(source, "/.") || streq(source, "."))))
		return strdup(target);
	return path_join(target, name);
}

/* --- into the guest --- */

static int put_folder(struct cli *cli, const char *vm, const char *source, const char *path)
{
	autoclose int dir = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return say(source, strerrordesc_np(errno));
	return guest_tree_write(cli, vm, path, dir);
}

static int put_file(struct cli *cli, const char *vm, const char *source, const char *path)
{
	autoclose int fd = open(source, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return say(source, strerrordesc_np(errno));
	return guest_file_write(cli, vm, path, st.st_mode, false, fd,
				S_ISREG(st.st_mode) ? st.st_size : -1);
}

static int copy_in(struct cli *cli, const char *vm, const char *source, const char *target)
{
	autofree char *path = NULL;
	char type[8] = "";
	struct stat st;
	bool into;
	int status;

	if (target[0] != '/')
		return say(target, "not an absolute path in the guest");
	if (stat(source, &st) < 0)
		return say(source, strerrordesc_np(errno));
	status = guest_file_look(cli, vm, target, type, NULL);
	if (status)
		return status;
	into = streq(type, "dir");
	if (!into && S_ISDIR(st.st_mode) && type[0])
		return say(target, "exists in the guest and is no folder");
	if (!into && ends_with(target, "/") && !S_ISDIR(st.st_mode))
		return say(target, "no such folder in the guest");
	path = target_path(source, target, into, S_ISDIR(st.st_mode));
	if (!path)
		return say(source, "out of memory");
	return S_ISDIR(st.st_mode) ? put_folder(cli, vm, source, path)
				   : put_file(cli, vm, source, path);
}

/* --- out of the guest --- */

static int get_folder(struct cli *cli, const char *vm, const char *source, const char *path)
{
	autoclose int dir = -1;

	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return say(path, strerrordesc_np(errno));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return say(path, strerrordesc_np(errno));
	return guest_tree_read(cli, vm, source, dir);
}

/* Bytes of the guest go here; a regular file is replaced when they are all there. */
struct host_file {
	int fd;
	char *path;      /* where it really is: links of the host are followed */
	char *temporary; /* NULL: written in place */
};

static void host_file_done(struct host_file *f)
{
	if (f->temporary)
		(void)unlink(f->temporary);
	free(f->temporary);
	free(f->path);
	close_keep_errno(f->fd);
}

static mode_t allowed(mode_t mode)
{
	mode_t mask = umask(0);

	(void)umask(mask);
	return mode & 0777 & ~mask ? mode & 0777 & ~mask : 0600;
}

/* A negative errno; host_file_done() in any case. */
static int host_file_open(struct host_file *f, const char *path, mode_t mode)
{
	struct stat st;
	const char *slash;
	bool there = stat(path, &st) == 0;

	if (there && !S_ISREG(st.st_mode)) { /* a terminal, a pipe: nothing to keep */
		f->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return f->fd < 0 ? -errno : 0;
	}
	f->path = there ? realpath(path, NULL) : strdup(path);
	if (!f->path)
		return -errno;
	if (there && access(f->path, W_OK) < 0)
		return -errno;
	slash = strrchr(f->path, '/');
	if (asprintf(&f->temporary, "%.*s.banger-XXXXXX", (int)(slash ? slash + 1 - f->path : 0),
		     f->path) < 0) {
		f->temporary = NULL;
		return -ENOMEM;
	}
	f->fd = mkostemp(f->temporary, O_CLOEXEC);
	if (f->fd < 0) {
		int r = -errno;

		free(TAKE_PTR(f->temporary));
		return r;
	}
	return fchmod(f->fd, there ? st.st_mode & 07777 : allowed(mode)) < 0 ? -errno : 0;
}

static int host_file_keep(struct host_file *f)
{
	if (f->temporary && rename(f->temporary, f->path) < 0)
		return -errno;
	free(TAKE_PTR(f->temporary));
	return 0;
}

static int get_file(struct cli *cli, const char *vm, const char *source, const char *path,
		    mode_t mode)
{
	struct host_file file CLEANUP(host_file_done) = { .fd = -1 };
	int r = host_file_open(&file, path, mode);
	int status;

	if (r < 0)
		return say(path, strerrordesc_np(-r));
	status = guest_file_read(cli, vm, source, file.fd);
	if (status)
		return status;
	r = host_file_keep(&file);
	return r < 0 ? say(path, strerrordesc_np(-r)) : 0;
}

/* "/a/." is "/a" with another meaning of the target, which target_path() knows. The caller frees.
 */
static char *without_dot(const char *path)
{
	size_t len = strlen(path);

	while (len > 2 && path[len - 1] == '.' && path[len - 2] == '/')
		len -= 2;
	return len == 2 && streq(path, "/.") ? strdup("/") : strndup(path, len);
}

static int copy_out(struct cli *cli, const char *vm, const char *named, const char *target)
{
	autofree char *source = without_dot(named);
	autofree char *path = NULL;
	char type[8] = "";
	mode_t mode = 0;
	struct stat st;
	bool there = stat(target, &st) == 0;
	bool into = there && S_ISDIR(st.st_mode);
	bool folder;
	int status;

	if (!source)
		return say(named, "out of memory");
	if (source[0] != '/')
		return say(source, "not an absolute path in the guest");
	status = guest_file_look(cli, vm, source, type, &mode);
	if (status)
		return status;
	folder = streq(type, "dir");
	if (!type[0])
		return say(source, "not there in the guest");
	if (!folder && !streq(type, "file"))
		return say(source, "no file or folder in the guest: only these can be copied");
	if (folder && there && !into)
		return say(target, "exists and is no folder");
	if (!folder && !into && ends_with(target, "/"))
		return say(target, "no such folder");
	path = target_path(named, target, into, folder);
	if (!path)
		return say(source, "out of memory");
	return folder ? get_folder(cli, vm, source, path) : get_file(cli, vm, source, path, mode);
}

/* --- archives --- */

static int archive_out(struct cli *cli, const char *vm, const char *named)
{
	autofree char *source = without_dot(named);

	if (!source)
		return say(named, "out of memory");
	if (source[0] != '/')
		return say(source, "not an absolute path in the guest");
	if (isatty(STDOUT_FILENO))
		return say("-", "an archive is not for a terminal: redirect it");
	return guest_archive_read(cli, vm, source, STDOUT_FILENO);
}

static int archive_in(struct cli *cli, const char *vm, const char *target)
{
	if (target[0] != '/')
		return say(target, "not an absolute path in the guest");
	return guest_archive_write(cli, vm, target, STDIN_FILENO);
}

/* "web:/srv" -> "/vms/web" and "/srv"; NULL for a path of this host. The caller frees. */
static char *guest_side(const char *text, const char **ret_path)
{
	size_t len = strcspn(text, ":/");
	autofree char *name = NULL, *escaped = NULL;
	char *vm = NULL;

	if (text[len] != ':' || len == 0)
		return NULL;
	name = strndup(text, len);
	escaped = name ? client_escape(name) : NULL;
	if (!escaped || asprintf(&vm, "/vms/%s", escaped) < 0)
		return NULL;
	*ret_path = text + len + 1;
	return vm;
}

int cmd_cp(struct cli *cli, const struct args *args)
{
	const char *source = args->positional[0], *target = args->positional[1];
	autofree char *from = guest_side(source, &source);
	autofree char *to = guest_side(target, &target);
	int status;

	if (!from == !to) {
		(void)fprintf(stderr, "banger: one of the two must be in a VM\n"
				      "try: banger cp FILE VM:/PATH, banger cp VM:/PATH FILE\n");
		return EXIT_USAGE;
	}
	status = cli_connect(cli, args);
	if (status)
		return status;
	if (from)
		return streq(target, "-") ? archive_out(cli, from, source)
					  : copy_out(cli, from, source, target);
	return streq(source, "-") ? archive_in(cli, to, target) : copy_in(cli, to, source, target);
}
