/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as tar streams, packed by a thread and unpacked by a process of their own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/service/file.h"
#include "agent/service/work.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/tar.h"

#define TAR_PREFIX "/tar/"

struct job {
	bool root;               /* the image's way: see tar_write_root() */
	char name[NAME_MAX + 1]; /* of a single file; "": all of the folder */
};

/* --- the thread, the process --- */

static int pack(struct work_side *side, const void *data, struct error *err)
{
	const struct tar_sink sink = { .room = work_room, .filled = work_filled, .data = side };
	const struct job *job = data;

	return tar_write_into(&sink, side->fd, job->name[0] ? job->name : NULL, job->root, err);
}

static int unpack(struct work_side *side, const void *data, struct error *err)
{
	const struct tar_source source = { .next = work_next, .data = side };

	(void)data;
	return tar_read_from(&source, side->fd, TAR_KEEP_OWNER, err);
}

/* --- requests --- */

static void on_unpacked(void *data, struct link_stream *stream, const struct error *err)
{
	(void)data;
	if (stream && err->code == ERR_NONE)
		agent_reply_json(stream, 200, json_object());
	else if (stream)
		agent_reply_error(stream, err);
}

static void start(struct agent *agent, struct link_stream *stream, const struct work_spec *spec)
{
	struct error err = ERROR_INIT;
	struct work *work;

	if (work_start(agent, stream, spec, &work, &err) < 0) {
		agent_reply_error(stream, &err);
	} else if (!spec->takes && link_stream_reply(stream, 200, NULL, 0, true) < 0) {
		work_stop(work);
		link_stream_reset(stream);
	}
}

void tree_get(struct agent *agent, struct link_stream *stream)
{
	struct job job = { .root = false };
	char path[PATH_MAX];
	autoclose int fd = -1;
	uint64_t root = 0;
	char *slash;
	int r = agent_request_path(stream, TAR_PREFIX, path, sizeof(path));

	if (r == 0)
		r = agent_request_number(stream, "root", 10, 0, &root);
	job.root = root != 0;
	if (r < 0) {
		file_error(stream, r, "pack", "the request");
		return;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR && access(path, F_OK) == 0) {
		slash = strrchr(path, '/');
		(void)snprintf(job.name, sizeof(job.name), "%s", slash + 1);
		*slash = '\0';
		fd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0) {
		file_error(stream, -errno, "open", path);
		return;
	}
	start(agent, stream,
	      &(struct work_spec){
		      .fd = fd, .run = pack, .run_data = &job, .run_size = sizeof(job) });
}

void tree_put(struct agent *agent, struct link_stream *stream)
{
	char path[PATH_MAX];
	autoclose int fd = -1;
	int r = agent_request_path(stream, TAR_PREFIX, path, sizeof(path));

	fd = r < 0 ? r : open_dir_create(path, 0755);
	if (fd < 0) {
		file_error(stream, fd, "open", path);
		return;
	}
	start(agent, stream,
	      &(struct work_spec){ .takes = true, .fd = fd, .run = unpack, .ended = on_unpacked });
}
