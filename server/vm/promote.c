/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/promote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vm/capture.h"
#include "server/vm/unseen.h"

enum {
	FORGET_MS = 60 * 1000,
	SILENCE_MS = 300 * 1000, /* longest that the stream may stand still */
	MEMORY_MAX_MIB = 256,    /* packing takes little, whatever the VM itself has */
	PIECE = 256 * 1024,
	PENDING_MAX = 1024 * 1024,
	ROOM_EVERY = 256, /* pieces */
};

/* More is refused before it fills the disk; the tar stream is held there once. */
#define ROOT_BYTES_MAX (64ULL << 30)

struct promote {
	struct verb_job job; /* of the VM itself */
	struct unseen vm;    /* the one that nobody sees */
	char name[256];

	/* the loop's */
	bool forgot;
	int fd; /* the end of a pair that bytes of the guest go into */
	struct buf pending;
	struct loop_fd *source;
	struct guest_stream *stream;
	bool over; /* the guest has sent all, or failed */
};

/* --- on the loop: what a machine has of its own --- */

static void on_forgot(void *data, const json_t *reply, const struct error *err)
{
	struct promote *p = data;

	(void)reply;
	if (err)
		p->vm.guest_error = *err;
	__atomic_store_n(&p->forgot, true, __ATOMIC_RELEASE);
	unseen_wake(&p->vm);
}

static void forget_identity(void *data)
{
	struct promote *p = data;

	guest_call(p->vm.guest, "/identity",
		   json_pack("{s:s, s:s}", "machine_id", "", "ssh_host_keys", "remove"), FORGET_MS,
		   on_forgot, p);
}

/* --- on the loop: the stream --- */

static void close_stream(struct promote *p)
{
	loop_fd_remove(TAKE_PTR(p->source));
	close_keep_errno(take_fd(&p->fd));
}

/* What can be given to the worker is; false while something is left. */
static bool flush(struct promote *p)
{
	while (p->fd >= 0 && buf_len(&p->pending) > 0) {
		ssize_t n = send(p->fd, buf_bytes(&p->pending), buf_len(&p->pending),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			/* The worker has given up, and knows why. */
			close_stream(p);
			return true;
		}
		buf_consume(&p->pending, (size_t)n);
	}
	if (p->over)
		close_stream(p);
	return true;
}

static void on_writable(void *data, uint32_t events)
{
	struct promote *p = data;

	(void)events;
	if (!flush(p))
		return;
	loop_fd_remove(TAKE_PTR(p->source));
	if (p->stream)
		guest_stream_resume(p->stream);
}

static bool on_output(void *data, const void *bytes, size_t len)
{
	struct promote *p = data;
	int r = p->fd < 0 ? 0 : buf_append(&p->pending, bytes, len);

	if (r == 0 && flush(p))
		return true;
	if (r == 0 && !p->source)
		r = loop_fd_add(p->vm.vms->c.loop, p->fd, EPOLLOUT, on_writable, p, &p->source);
	if (r < 0) {
		(void)error_errno(&p->vm.guest_error, r, "take the root file system");
		close_stream(p);
	}
	return r < 0;
}

static void on_stream_end(void *data, const struct error *err)
{
	struct promote *p = data;

	p->stream = NULL;
	p->over = true;
	if (err->code != ERR_NONE)
		p->vm.guest_error = *err;
	if (!p->source)
		(void)flush(p);
}

static void begin_stream(void *data)
{
	static const struct guest_stream_callbacks callbacks = { .output = on_output,
								 .end = on_stream_end };
	struct promote *p = data;

	(void)!guest_tar_get_root(p->vm.guest, &callbacks, p, &p->stream, &p->vm.guest_error);
}

static void end_stream(void *data)
{
	struct promote *p = data;

	if (p->stream)
		guest_stream_abort(TAKE_PTR(p->stream));
	close_stream(p);
	buf_done(&p->pending);
}

/* For unseen_on_loop(): how the stream ended. */
static void look(void *data)
{
	(void)data;
}

/* --- on the worker --- */

static int check_room(const struct vms *vms, uint64_t taken, struct error *err)
{
	uint64_t free_mib = 0;

	if (taken > ROOT_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "the root file system has more than %llu GiB",
				 (unsigned long long)(ROOT_BYTES_MAX >> 30));
	if (vms_disk_free_mib(vms, &free_mib) == 0 && free_mib < vms->c.disk_reserve_mib)
		return error_set(err, ERR_NO_ROOM,
				 "%llu MiB are free; %llu are kept in reserve "
				 "(vms.disk_reserve_mib)",
				 (unsigned long long)free_mib,
				 (unsigned long long)vms->c.disk_reserve_mib);
	return 0;
}

/* All that comes through `from`, into the file. */
static int take_bytes(struct promote *p, int from, int to, struct error *err)
{
	autofree char *piece = malloc(PIECE);
	uint64_t taken = 0;

	if (!piece)
		return error_errno(err, -ENOMEM, "promote");
	for (unsigned int i = 0;; i++) {
		struct pollfd fds[2] = { { .fd = from, .events = POLLIN },
					 { .fd = op_cancel_fd(p->vm.op), .events = POLLIN } };
		ssize_t n;
		int r = poll(fds, ARRAY_SIZE(fds), SILENCE_MS);

		if (r == 0)
			return error_set(err, ERR_TIMEOUT, "the guest does not send its root on");
		r = op_check(p->vm.op, err);
		if (r == 0 && i % ROOM_EVERY == 0)
			r = check_room(p->vm.vms, taken, err);
		if (r < 0)
			return r;
		n = recv(from, piece, PIECE, MSG_DONTWAIT);
		if (n == 0)
			return unseen_on_loop(&p->vm, look, NULL, err);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		r = n < 0 ? -errno : write_all(to, piece, (size_t)n);
		if (r < 0)
			return error_errno(err, r, "keep the root file system");
		taken += (uint64_t)n;
		op_progress(p->vm.op, taken, 0, "bytes");
	}
}

static int read_root(struct promote *p, int to, struct error *err)
{
	autoclose int ours = -1;
	int pair[2];
	int r;

	op_stage(p->vm.op, "read");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "promote");
	ours = pair[0];
	p->fd = pair[1];
	r = unseen_on_loop(&p->vm, begin_stream, p, err);
	if (r == 0)
		r = take_bytes(p, ours, to, err);
	if (loop_call(p->vm.vms->c.loop, end_stream, p) < 0)
		end_stream(p);
	if (r == 0 && lseek(to, 0, SEEK_SET) < 0)
		r = error_errno(err, -errno, "read the root file system again");
	return r;
}

static int copy_disk(struct promote *p, struct error *err)
{
	autoclose int dir = -1;
	struct capture capture = {
		.job = &p->job, .op = p->vm.op, .parts = CAPTURE_DISK, .resume = true, .sync = true
	};
	int r = unseen_prepare(&p->vm, &dir, err);

	if (r < 0)
		return r;
	capture.dir_fd = dir;
	r = capture_write(&capture, err);
	if (r == 0 && fchmodat(dir, "work.ext4", 0600, 0) < 0)
		r = error_errno(err, -errno, "use the copy of the disk");
	return r;
}

static int make_image(struct promote *p, int tar, struct error *err)
{
	const struct vms *vms = p->vm.vms;
	struct image_info info CLEANUP(image_info_done) = { .name = "" };
	int r = image_load(vms->c.paths, p->vm.row.image_id, &info, err);

	if (r < 0)
		return r;
	(void)snprintf(info.name, sizeof(info.name), "%s", p->name);
	(void)snprintf(info.source, sizeof(info.source), "VM %s, made from %s", p->job.name,
		       p->vm.row.image_name);
	r = image_from_root(vms->c.paths, tar, p->vm.op, &info, err);
	return r < 0 ? r : catalog_add_image(vms->c.catalog, &info, p->job.who, p->vm.op, err);
}

static int run_promote(struct op *op, void *data, struct error *err)
{
	struct promote *p = data;
	autoclose int tar = -1;
	int r;

	p->vm.op = op;
	tar = open_unnamed(p->vm.vms->c.cache_dir);
	if (tar < 0)
		return error_errno(err, tar, "make a file in %s", p->vm.vms->c.cache_dir);
	r = copy_disk(p, err);
	if (r == 0)
		r = unseen_boot(&p->vm, err);
	if (r == 0)
		r = unseen_on_loop(&p->vm, forget_identity, p, err);
	if (r == 0)
		r = unseen_wait(&p->vm, &p->forgot, FORGET_MS, "forgetting who it was", err);
	if (r == 0)
		r = read_root(p, tar, err);
	unseen_end(&p->vm);
	if (r == 0)
		r = make_image(p, tar, err);
	return r < 0 ? error_wrap(err, "make image %s of VM %s", p->name, p->job.name) : 0;
}

static void promote_free(void *data)
{
	struct promote *p = data;

	unseen_done(&p->vm);
	free(p);
}

/* What the helper is: the VM's image, kernel and disk, and as little else as can be. */
static struct vm_row shape_of(const struct vm *vm)
{
	struct vm_row shape = vm->row;

	shape.vcpus = 1;
	if (shape.memory_mib > MEMORY_MAX_MIB)
		shape.memory_mib = MEMORY_MAX_MIB;
	(void)snprintf(shape.network, sizeof(shape.network), "none");
	(void)snprintf(shape.init, sizeof(shape.init), "agent");
	return shape;
}

int vm_promote(struct vm *vm, const char *name, const char *who, struct op **ret_op,
	       struct error *err)
{
	struct vm_row shape = shape_of(vm);
	struct promote *p;
	struct op_spec spec;
	int r = vm_state_allows(vm->state, VM_VERB_SNAPSHOT, vm->row.name, err);

	if (r < 0)
		return r;
	if (!vm->vms->c.driver)
		return error_set(err, ERR_UNSUPPORTED, "no VM can be started on this host");
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_errno(err, -ENOMEM, "promote");
	p->job = (struct verb_job){ .vms = vm->vms, .verb = VM_VERB_SNAPSHOT };
	(void)snprintf(p->job.id, sizeof(p->job.id), "%s", vm->row.id);
	(void)snprintf(p->job.name, sizeof(p->job.name), "%s", vm->row.name);
	(void)snprintf(p->job.who, sizeof(p->job.who), "%s", who);
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	p->fd = -1;
	buf_init(&p->pending, PENDING_MAX);
	r = unseen_init(&p->vm, vm->vms, &shape, "promote", err);
	if (r < 0) {
		promote_free(p);
		return r;
	}
	spec = (struct op_spec){ .kind = "image.promote",
				 .request_by = p->job.who,
				 .run = run_promote,
				 .free_data = promote_free,
				 .data = p };
	return vm_submit_spec(vm, &spec, ret_op, err);
}
