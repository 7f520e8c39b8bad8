/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/home/home.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

/* An empty variable counts as unset, and a relative path is to be ignored (XDG base directory
 * specification). */
static const char *env_dir(const char *name)
{
	const char *v = secure_getenv(name);

	return v && v[0] == '/' ? v : NULL;
}

static char *xdg_dir(const char *variable, const char *below_home)
{
	const char *base = env_dir(variable);
	const char *home = env_dir("HOME");
	char *s = NULL;
	int n;

	if (base)
		n = asprintf(&s, "%s/banger", base);
	else
		n = asprintf(&s, "%s/%s/banger", home ? home : "/root", below_home);
	return n < 0 ? NULL : s;
}

static char *runtime_dir(void)
{
	const char *base = env_dir("XDG_RUNTIME_DIR");
	char *s = NULL;
	int n;

	if (base)
		n = asprintf(&s, "%s/banger", base);
	else
		n = asprintf(&s, "/tmp/banger-runtime-%u", geteuid());
	return n < 0 ? NULL : s;
}

static int absolute(const char *path, char **ret_path)
{
	autofree char *cwd = NULL;

	if (path[0] == '/') {
		*ret_path = strdup(path);
	} else {
		cwd = get_current_dir_name();
		*ret_path = cwd ? path_join(cwd, path) : NULL;
	}
	return *ret_path ? 0 : -ENOMEM;
}

#define SYSTEM_RUNTIME "/run/banger"

static void system_home(struct home *ret_home)
{
	*ret_home = (struct home){
		.config = strdup("/etc/banger"),
		.state = strdup("/var/lib/banger/state"),
		.cache = strdup("/var/cache/banger"),
		.runtime = strdup(SYSTEM_RUNTIME),
	};
}

/* The service's runtime folder is there and belongs to this user: they are its owner. */
static bool owns_system_install(void)
{
	struct stat st;

	return lstat(SYSTEM_RUNTIME, &st) == 0 && S_ISDIR(st.st_mode) && geteuid() != 0 &&
	       st.st_uid == geteuid();
}

int home_resolve(const char *override, struct home *ret_home, struct error *err)
{
	const char *dir = override ? override : secure_getenv("BANGER_HOME");
	struct home home CLEANUP(home_done) = { 0 };
	autofree char *base = NULL;

	if (override && !*override)
		return error_set(err, ERR_INVALID, "--home wants a folder");

	if ((dir && streq(dir, "system")) || ((!dir || !dir[0]) && owns_system_install())) {
		system_home(&home);
	} else if (dir && dir[0]) {
		if (absolute(dir, &base) < 0)
			return error_errno(err, -ENOMEM, "home %s", dir);
		home.config = path_join(base, "config");
		home.state = path_join(base, "state");
		home.cache = path_join(base, "cache");
		home.runtime = path_join(base, "run");
	} else {
		home.config = xdg_dir("XDG_CONFIG_HOME", ".config");
		home.state = xdg_dir("XDG_STATE_HOME", ".local/state");
		home.cache = xdg_dir("XDG_CACHE_HOME", ".cache");
		home.runtime = runtime_dir();
	}
	if (!home.config || !home.state || !home.cache || !home.runtime)
		return error_errno(err, -ENOMEM, "paths");
	*ret_home = home;
	home = (struct home){ 0 };
	return 0;
}

static int create_one(const char *path, struct error *err)
{
	autoclose int fd = open_dir_create(path, 0700);
	struct stat st;

	if (fd < 0)
		return error_errno(err, fd, "make folder %s", path);
	if (lstat(path, &st) < 0)
		return error_errno(err, -errno, "look at %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return error_set(err, ERR_FORBIDDEN,
				 "%s must be a folder of user %u and no symbolic link; remove it "
				 "or set BANGER_HOME",
				 path, geteuid());
	if ((st.st_mode & 0077) && fchmod(fd, 0700) < 0)
		return error_errno(err, -errno, "chmod 0700 %s", path);
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return error_errno(err, -errno, "folder %s can't be written", path);
	return 0;
}

int home_create(const struct home *home, struct error *err)
{
	const char *all[] = { home->config, home->state, home->cache, home->runtime };
	struct stat st;

	/* The configuration may be root's alone, as in a system install. */
	if (lstat(home->config, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0)
		all[0] = home->state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int r = create_one(all[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

void home_done(struct home *home)
{
	free(home->config);
	free(home->state);
	free(home->cache);
	free(home->runtime);
	*home = (struct home){ 0 };
}

char *home_socket(const struct home *home)
{
	return path_join(home->runtime, "server.sock");
}
