/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

int take_lock(struct server *s, struct error *err)
{
	char pid[32];
	int len = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	pid_t holder;
	int r;
	autoclose int dir = open(s->home.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	s->lock_fd = dir < 0 ? -errno : open_regular_beneath(dir, "lock", O_RDWR | O_CREAT, 0600);
	if (s->lock_fd < 0)
		return error_errno(err, s->lock_fd, "open %s/lock", s->home.state);
	r = lock_for_process(s->lock_fd, &holder);
	if (r == -EAGAIN)
		return error_set(err, ERR_BUSY,
				 "a server runs on this home already (pid %d); stop it or choose "
				 "another --home",
				 (int)holder);
	/* For those who want to know whom to ask. */
	if (r < 0 || ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, (size_t)len, 0) != len)
		return error_errno(err, r < 0 ? r : -errno, "lock %s/lock", s->home.state);
	return 0;
}

/* Beside this program in a build or an install: bin/banger-server, libexec/banger/,
 * share/banger/web. */
static char *beside_program(const char *relative)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return path_join(self, relative);
}

static char *first_that_exists(const char *given, const char *const *candidates)
{
	if (given)
		return strdup(given);
	for (; *candidates; candidates++) {
		autofree char *path = beside_program(*candidates);

		if (path && access(path, F_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

int find_paths(struct server *s, struct error *err)
{
	static const char *const agents[] = { "../libexec/banger/banger-agent",
					      "../agent/banger-agent", "banger-agent", NULL };
	static const char *const webs[] = { "../share/banger/web", "../web/dist",
					    "../../../web/dist", NULL };
	static const char *const libexecs[] = { "../libexec/banger", ".", NULL };

	s->socket_path = home_socket(&s->home);
	s->db_path = path_join(s->home.state, "state.db");
	s->images_dir = path_join(s->home.state, "images");
	s->kernels_dir = path_join(s->home.state, "kernels");
	s->agent_path = first_that_exists(s->options.agent, agents);
	s->web_root = first_that_exists(s->options.web_root, webs);
	s->names_path = path_join(s->home.config, "catalog.list");
	s->own_keys = path_join(s->home.state, "ssh/id_ed25519.pub");
	s->libexec_dir = first_that_exists(NULL, libexecs);
	if (!s->socket_path || !s->db_path || !s->images_dir || !s->kernels_dir ||
	    !s->libexec_dir || !s->names_path || !s->own_keys)
		return error_errno(err, -ENOMEM, "paths");
	if (!s->agent_path)
		return error_set(err, ERR_UNAVAILABLE,
				 "banger-agent is not installed beside banger-server; see --agent");
	s->paths = (struct image_paths){ .images = s->images_dir,
					 .kernels = s->kernels_dir,
					 .cache = s->home.cache,
					 .agent = s->agent_path,
					 .libexec = s->libexec_dir };
	return 0;
}
