/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/known.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { KNOWN_MAX = 256 };

/* What is remembered is of this form of ours; the number changes with what we make of things. */
static const char form[] = "2 ";

bool known_find(const struct image_paths *paths, const char *parent, const char *kind,
		const char *key, char ret_id[STORE_ID_SIZE])
{
	autofree char *folder = path_join(paths->cache, kind);
	autofree char *text = NULL;
	autoclose int dir = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (dir < 0 || read_file_at(dir, key, KNOWN_MAX, &text, NULL) < 0 ||
	    !str_has_prefix(text, form) || !entry_id_valid(text + strlen(form)))
		return false;
	(void)snprintf(ret_id, STORE_ID_SIZE, "%.71s", text + strlen(form));
	return entry_hold(parent, ret_id);
}

/* Whoever has held it has removed its name: what is locked then is nobody's any more. */
static bool has_name(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static int open_lock(const struct known_lock *lock, int *ret_fd, struct error *err)
{
	*ret_fd = open_regular_beneath(lock->dir, lock->name, O_RDWR | O_CREAT, 0600);
	return *ret_fd < 0 ? error_errno(err, *ret_fd, "open %s", lock->name) : 0;
}

int known_lock(const struct image_paths *paths, const char *kind, const char *key, struct op *op,
	       struct known_lock *ret_lock, struct error *err)
{
	struct known_lock lock CLEANUP(known_unlock) = KNOWN_LOCK_INIT;
	autofree char *folder = path_join(paths->cache, kind);
	bool waits = false;

	if (!folder)
		return error_errno(err, -ENOMEM, "open %s", kind);
	lock.dir = open_dir_create(folder, 0700);
	if (lock.dir < 0)
		return error_errno(err, lock.dir, "open %s", folder);
	(void)snprintf(lock.name, sizeof(lock.name), "lock-%.80s", key);
	for (;;) {
		autoclose int fd = -1;
		int r = open_lock(&lock, &fd, err);

		if (r < 0)
			return r;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (!waits)
				op_stage(op, "wait");
			waits = true;
			r = op_lock_file(op, fd, err);
		}
		if (r < 0)
			return r;
		if (has_name(fd)) {
			lock.fd = take_fd(&fd);
			*ret_lock = lock;
			lock = KNOWN_LOCK_INIT;
			return 0;
		}
	}
}

void known_unlock(struct known_lock *lock)
{
	if (lock->fd >= 0)
		(void)unlinkat(lock->dir, lock->name, 0);
	close_keep_errno(lock->fd);
	close_keep_errno(lock->dir);
	*lock = KNOWN_LOCK_INIT;
}

void known_remember(const struct image_paths *paths, const char *kind, const char *key,
		    const char *id)
{
	autofree char *folder = path_join(paths->cache, kind);
	autoclose int dir = folder ? open_dir_create(folder, 0700) : -1;
	char text[KNOWN_MAX];
	int n = snprintf(text, sizeof(text), "%s%s", form, id);

	if (dir >= 0)
		(void)!write_file_at(dir, key, text, (size_t)n, 0600);
}
