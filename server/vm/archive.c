/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/archive.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vm/snapshot_internal.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/confine.h"

#define PROGRAM "banger-archive"

enum { ARCHIVES_MAX = 8, FOLDER_FD = 3, LAST_LINE = 300 };

struct snapshot_archive {
	struct snapshots *snapshots;
	const struct snapshot_archive_callbacks *callbacks;
	void *data;
	char id[ID_LEN + 1];
	bool import;
	bool ended; /* the process */
	int dir_fd;
	int fd;     /* our end of the stream */
	int log_fd; /* what it says on standard error */
	struct loop_fd *source;
	struct loop_fd *exit_source;
	struct proc proc;
};

static struct loop *loop_of(const struct snapshot_archive *a)
{
	return a->snapshots->vms->c.loop;
}

static void on_stream(void *data, uint32_t events)
{
	struct snapshot_archive *a = data;

	(void)events;
	a->callbacks->ready(a->data);
}

void snapshot_archive_watch(struct snapshot_archive *a, bool watch)
{
	if (!watch)
		loop_fd_remove(TAKE_PTR(a->source));
	else if (!a->source && a->fd >= 0)
		(void)!loop_fd_add(loop_of(a), a->fd, a->import ? EPOLLOUT : EPOLLIN, on_stream, a,
				   &a->source);
}

/* --- the process --- */

static void said(const struct snapshot_archive *a, struct error *err)
{
	char line[LAST_LINE];
	ssize_t n = pread(a->log_fd, line, sizeof(line) - 1, 0);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	(void)error_set(err, ERR_INVALID, "the archive: %s",
			line[0] ? line : PROGRAM " ended without saying why");
}

/* An archive that is cut short is refused as one that lies. */
static void on_exit_event(void *data, uint32_t events)
{
	struct snapshot_archive *a = data;
	struct error err = ERROR_INIT;
	int status = -1;

	(void)events;
	(void)proc_wait(&a->proc, -1, -1, &status);
	a->ended = true;
	loop_fd_remove(TAKE_PTR(a->exit_source));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		said(a, &err);
	a->callbacks->end(a->data, &err);
}

static int spawn(struct snapshot_archive *a, const char *folder, int theirs, struct error *err)
{
	const struct vms *vms = a->snapshots->vms;
	autofree char *program = path_join(vms->c.paths->libexec, PROGRAM);
	const char *const argv[] = { program, a->import ? "unpack" : "pack", NULL };
	const struct proc_fd fds[] = { { .ours = a->dir_fd, .theirs = FOLDER_FD } };
	struct confine_rules rules = { .n = 0 };
	struct proc_spec spec = PROC_SPEC_INIT;

	if (!program)
		return error_errno(err, -ENOMEM, "archive");
	confine_allow_system(&rules);
	confine_allow(&rules, program, CONFINE_READ);
	confine_allow(&rules, folder, CONFINE_TREE);
	spec.argv = argv;
	spec.fds = fds;
	spec.n_fds = ARRAY_SIZE(fds);
	spec.stdin_fd = a->import ? theirs : -1;
	spec.stdout_fd = a->import ? -1 : theirs;
	spec.stderr_fd = a->log_fd;
	return confine_spawn(&spec, &rules, &a->proc, err);
}

static int start(struct snapshot_archive *a, const char *name, struct error *err)
{
	struct snapshots *s = a->snapshots;
	autofree char *folder = path_join(s->dir, name);
	autoclose int theirs = -1;
	int pair[2];
	int r;

	a->dir_fd = a->import ? open_subdir(s->dir_fd, name, 0700)
			      : open_beneath(s->dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
	a->log_fd = memfd_create("banger-archive", MFD_CLOEXEC);
	if (!folder || a->dir_fd < 0 || a->log_fd < 0)
		return error_errno(err,
				   !folder         ? -ENOMEM
				   : a->dir_fd < 0 ? a->dir_fd
						   : -errno,
				   "open the snapshot's folder");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "archive");
	a->fd = pair[0];
	theirs = pair[1];
	if (fcntl(a->fd, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, -errno, "archive");
	r = spawn(a, folder, theirs, err);
	if (r == 0) {
		r = loop_fd_add(loop_of(a), a->proc.pidfd, EPOLLIN, on_exit_event, a,
				&a->exit_source);
		if (r < 0)
			return error_errno(err, r, "archive");
		snapshot_archive_watch(a, !a->import);
	}
	return r;
}

static struct snapshot_archive *snapshot_archive_new(
	struct snapshots *s, bool import, const struct snapshot_archive_callbacks *callbacks,
	void *data, struct error *err)
{
	struct snapshot_archive *a = NULL;

	if (s->archives == ARCHIVES_MAX) {
		(void)error_set(err, ERR_BUSY,
				"%d snapshots are being moved already; wait for one to end",
				ARCHIVES_MAX);
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		(void)error_errno(err, -ENOMEM, "archive");
		return NULL;
	}
	*a = (struct snapshot_archive){ .snapshots = s,
					.callbacks = callbacks,
					.data = data,
					.import = import,
					.dir_fd = -1,
					.fd = -1,
					.log_fd = -1,
					.proc = PROC_INIT };
	s->archives++;
	return a;
}

static void staging_name(const struct snapshot_archive *a, char name[ID_LEN + 8])
{
	(void)snprintf(name, ID_LEN + 8, "%s.new", a->id);
}

int snapshot_archive_export(struct snapshots *s, const char *id,
			    const struct snapshot_archive_callbacks *callbacks, void *data,
			    struct snapshot_archive **ret_archive, struct error *err)
{
	struct snapshot *one = snapshots_find(s, id);
	struct snapshot_archive *a;
	int r;

	if (!one)
		return error_set(err, ERR_NOT_FOUND, "no snapshot '%.64s'", id);
	a = snapshot_archive_new(s, false, callbacks, data, err);
	if (!a)
		return error_to_errno(err);
	(void)snprintf(a->id, sizeof(a->id), "%s", id);
	snapshots_ref(one);
	r = start(a, id, err);
	if (r < 0)
		snapshot_archive_free(a);
	else
		*ret_archive = a;
	return r;
}

int snapshot_archive_import(struct snapshots *s, const struct snapshot_archive_callbacks *callbacks,
			    void *data, struct snapshot_archive **ret_archive, struct error *err)
{
	struct snapshot_archive *a = snapshot_archive_new(s, true, callbacks, data, err);
	char name[ID_LEN + 8];
	int r;

	if (!a)
		return error_to_errno(err);
	(void)snprintf(a->id, sizeof(a->id), "%s", id_new().s);
	staging_name(a, name);
	r = start(a, name, err);
	if (r < 0)
		snapshot_archive_free(a);
	else
		*ret_archive = a;
	return r;
}

/* --- bytes --- */

ssize_t snapshot_archive_read(struct snapshot_archive *a, void *bytes, size_t max)
{
	ssize_t n = read(a->fd, bytes, max);

	if (n == 0)
		snapshot_archive_watch(a, false);
	return n < 0 ? -errno : n;
}

size_t snapshot_archive_write(struct snapshot_archive *a, const void *bytes, size_t len)
{
	ssize_t n = a->fd < 0 ? -1 : send(a->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	/* It has closed its end: `end` says why; the rest of the body is nobody's. */
	if (n < 0 && (a->fd < 0 || (errno != EAGAIN && errno != EINTR)))
		return len;
	return n < 0 ? 0 : (size_t)n;
}

void snapshot_archive_finish(struct snapshot_archive *a)
{
	snapshot_archive_watch(a, false);
	if (a->fd >= 0)
		(void)shutdown(a->fd, SHUT_WR);
}

void snapshot_archive_free(struct snapshot_archive *a)
{
	if (!a)
		return;
	snapshot_archive_watch(a, false);
	loop_fd_remove(a->exit_source);
	if (a->ended)
		proc_done(&a->proc);
	else
		proc_kill(&a->proc);
	close_keep_errno(a->fd);
	close_keep_errno(a->log_fd);
	close_keep_errno(a->dir_fd);
	if (a->import && a->id[0]) {
		char name[ID_LEN + 8];

		staging_name(a, name);
		(void)!remove_tree_at(a->snapshots->dir_fd, name);
	} else if (a->id[0]) {
		snapshots_unref(a->snapshots, a->id);
	}
	a->snapshots->archives--;
	free(a);
}

/* --- what has come in --- */

struct incoming {
	struct snapshot_archive *archive;
	struct snapshot one;
	char who[128];
	struct op *op;
	struct error error;
};

/* "sha256-<hex>": part of a path. */
static bool store_id_valid(const char *s)
{
	return str_has_prefix(s, "sha256-") && digest_hex_valid(s + 7);
}

static bool name_valid(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	       strlen(s);
}

/* Somebody else wrote it: what is shown, compared or made a path of has the form that ours has. */
static bool manifest_valid(const struct snapshot *one)
{
	return (one->name[0] == '\0' || (name_valid(one->name) && one->name[0] != '.')) &&
	       id_valid(one->vm_id) && dns_label_valid(one->vm_name) &&
	       (one->parent[0] == '\0' || id_valid(one->parent)) && one->image_name[0] &&
	       one->image_name[strcspn(one->image_name, "\n\r\t\033")] == '\0' &&
	       store_id_valid(one->image_id) && store_id_valid(one->kernel_id) && one->vcpus >= 1 &&
	       one->vcpus <= 64 && one->memory_mib >= 1 && one->memory_mib <= 1048576 &&
	       one->disk_mib >= 1 && one->disk_mib <= 16777215 &&
	       (streq(one->network, "none") || streq(one->network, "user") ||
		streq(one->network, "bridge")) &&
	       (streq(one->init, "agent") || streq(one->init, "system"));
}

/* Only what a snapshot consists of, and as files. */
static int check_files(int dir_fd, const struct snapshot *one, struct error *err)
{
	autoclose int disk = open_regular_beneath(dir_fd, "work.ext4", O_RDONLY, 0);
	off_t size = disk < 0 ? -1 : lseek(disk, 0, SEEK_END);

	if (size != (off_t)one->disk_mib * 1024 * 1024)
		return error_set(err, ERR_INVALID, "the archive: its disk is not of %lld MiB",
				 (long long)one->disk_mib);
	if (!one->made.disk_sha256[0] || (one->memory && !one->made.state_sha256[0]))
		return error_set(err, ERR_INVALID, "the archive: its manifest lacks checksums");
	return 0;
}

static int only_files(int dir_fd, struct error *err)
{
	static const char *const known[] = { ".",     "..",     "manifest.json",
					     "state", "memory", "work.ext4" };
	DIR *dir = dir_entries(dir_fd);
	const struct dirent *e;
	bool strange = false;

	if (!dir)
		return error_errno(err, -errno, "read the archive's folder");
	/* One DIR, one caller: what readdir(3) asks. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found |= streq(known[i], e->d_name);
		strange |= !found;
	}
	(void)closedir(dir);
	return strange ? error_set(err, ERR_INVALID,
				   "the archive has more than the files of a snapshot")
		       : 0;
}

static int check(struct incoming *in, struct error *err)
{
	int dir = in->archive->dir_fd;
	int r = snapshot_read_manifest(dir, &in->one);

	if (r < 0)
		return error_set(err, ERR_INVALID,
				 "the archive has no %smanifest.json of a "
				 "snapshot",
				 r == -ENOENT ? "" : "readable ");
	if (!manifest_valid(&in->one))
		return error_set(err, ERR_INVALID,
				 "the archive: its manifest has a value that no snapshot has");
	r = only_files(dir, err);
	if (r == 0)
		r = check_files(dir, &in->one, err);
	if (r == 0)
		r = made_check(dir, &in->one.made, MADE_ALL, err);
	if (r < 0)
		return r;
	(void)snprintf(in->one.id, sizeof(in->one.id), "%s", in->archive->id);
	r = snapshot_write_manifest(dir, &in->one);
	if (r == 0 && syncfs(dir) < 0)
		r = -errno;
	return r < 0 ? error_errno(err, r, "keep the snapshot") : 0;
}

static void publish(void *data)
{
	struct incoming *in = data;
	struct snapshot_archive *a = in->archive;
	char name[ID_LEN + 8];

	staging_name(a, name);
	/* A history that goes on here is kept. */
	if (!snapshots_find(a->snapshots, in->one.parent))
		in->one.parent[0] = '\0';
	if (snapshot_publish(a->snapshots, name, &in->one, &in->error) == 0)
		snapshot_tell_added(a->snapshots, &in->one, in->who, op_id(in->op));
}

static int run_import(struct op *op, void *data, struct error *err)
{
	struct incoming *in = data;
	int r;

	in->op = op;
	op_stage(op, "check");
	r = check(in, err);
	if (r < 0)
		return r;
	op_stage(op, "publish");
	if (loop_call(loop_of(in->archive), publish, in) < 0)
		return error_set(err, ERR_CANCELLED, "the server is ending");
	if (in->error.code != ERR_NONE) {
		*err = in->error;
		return error_to_errno(err);
	}
	op_set_result(op, json_pack("{s:s}", "snapshot", in->one.id));
	return 0;
}

static void incoming_free(void *data)
{
	struct incoming *in = data;

	snapshot_archive_free(in->archive);
	free(in);
}

int snapshot_archive_publish(struct snapshot_archive *a, const char *who, struct op **ret_op,
			     struct error *err)
{
	struct incoming *in = calloc(1, sizeof(*in));
	struct op_spec spec = { .kind = "snapshot.import",
				.target = a->id,
				.run = run_import,
				.free_data = incoming_free,
				.data = in };

	if (!in) {
		snapshot_archive_free(a);
		return error_errno(err, -ENOMEM, "import");
	}
	in->archive = a;
	(void)snprintf(in->who, sizeof(in->who), "%s", who);
	spec.request_by = in->who;
	return ops_submit(a->snapshots->vms->c.ops, &spec, ret_op, err);
}
