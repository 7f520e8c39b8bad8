/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/vm/clock.h"

enum { VMM_MS = 120 * 1000, SYNC_MS = 20 * 1000 };

struct view {
	const struct vmm_driver *driver;
	const struct vmm_config *
		config; /* replaced by operations of this VM's queue only, so it may be read here */
	char *work;
	bool running;
	bool paused;
};

static int look(struct vm *vm, void *data, struct error *err)
{
	struct view *v = data;

	v->driver = vm->driver;
	v->config = &vm->boot.config;
	v->running = vm->state == VM_RUNNING && vm->proc.pidfd >= 0;
	v->paused = vm->state == VM_PAUSED && vm->proc.pidfd >= 0;
	v->work = strdup(vm->boot.work);
	return v->work ? 0 : error_errno(err, -ENOMEM, "capture");
}

/* --- before the guest stands still --- */

struct sync {
	int wake_fd; /* readable once the guest has answered; -1: it was not asked */
};

static void on_synced(void *data, const json_t *reply, const struct error *err)
{
	const int *wake_fd = data;
	uint64_t one = 1;

	(void)reply;
	(void)err;
	(void)!write(*wake_fd, &one, sizeof(one));
	close_keep_errno(*wake_fd);
	free(data);
}

static int ask_to_sync(struct vm *vm, void *data, struct error *err)
{
	struct sync *s = data;
	int *theirs = NULL;

	(void)err;
	if (!vm->guest || !vm->agent_up || (vm->state != VM_RUNNING && vm->state != VM_PAUSED))
		return 0;
	theirs = malloc(sizeof(*theirs));
	s->wake_fd = theirs ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	if (s->wake_fd >= 0)
		*theirs = fcntl(s->wake_fd, F_DUPFD_CLOEXEC, 3);
	if (s->wake_fd < 0 || *theirs < 0) {
		free(theirs);
		return 0;
	}
	guest_call(vm->guest, "/sync", NULL, SYNC_MS, on_synced, theirs);
	return 0;
}

/*
 * What the guest has not written yet is in its memory. Who later boots from the disk alone shall
 * find it: the guest is asked to write it out. One that does not answer is captured as it is, which
 * is what a power cut would leave.
 */
static void sync_guest(const struct capture *c)
{
	struct sync s = { .wake_fd = -1 };
	struct pollfd p[2];
	struct error ignored;

	op_stage(c->op, "sync");
	if (vm_on_loop(c->job, ask_to_sync, &s, &ignored) < 0 || s.wake_fd < 0)
		return;
	p[0] = (struct pollfd){ .fd = s.wake_fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = op_cancel_fd(c->op), .events = POLLIN };
	while (poll(p, ARRAY_SIZE(p), SYNC_MS) < 0 && errno == EINTR)
		;
	close_keep_errno(s.wake_fd);
}

static struct vmm_wait wait_of(const struct capture *c)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)VMM_MS * 1000,
				  .cancel_fd = op_cancel_fd(c->op) };
}

static int copy_disk(const struct capture *c, const char *work, struct error *err)
{
	autoclose int from = open(work, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	autoclose int to = -1;
	int r;

	if (from < 0 && errno == ENOENT)
		return error_set(err, ERR_STATE, "the VM has no disk yet; start it once");
	if (from < 0)
		return error_errno(err, -errno, "open %s", work);
	to = open_beneath(c->dir_fd, "work.ext4", O_RDWR | O_CREAT | O_EXCL, 0600);
	r = to < 0 ? to : copy_sparse(from, to);
	return r < 0 ? error_errno(err, r, "copy the disk") : 0;
}

static const char *const files[] = { "state", "memory", "work.ext4" };

/* Sizes; and on the disk for good and with checksums, if that is asked. */
static int settle(struct capture *c, struct error *err)
{
	struct stat st;

	c->size_bytes = 0;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		autoclose int fd = open_beneath(c->dir_fd, files[i], O_RDONLY, 0);

		if (fd == -ENOENT)
			continue;
		if (fd < 0 || (c->lasting && fsync(fd) < 0) || fstat(fd, &st) < 0)
			return error_errno(err, fd < 0 ? fd : -errno, "flush %s", files[i]);
		/* Never written again: not by a VMM that runs as the owner and is shown it, either.
		 */
		(void)fchmod(fd, 0400);
		c->size_bytes += (int64_t)st.st_blocks * 512;
	}
	return c->lasting ? made_sum(c->dir_fd, c->made, err) : 0;
}

/* With the guest standing still: memory and disk of one moment. */
static int write_parts(struct capture *c, const struct view *v, struct error *err)
{
	struct vmm_wait wait = wait_of(c);
	int r = 0;

	if ((c->parts & CAPTURE_MEMORY) && (v->running || v->paused)) {
		op_stage(c->op, "memory");
		r = v->driver->snapshot(v->config, c->dir_fd, &wait, err);
	}
	if (r == 0 && (c->parts & CAPTURE_DISK)) {
		op_stage(c->op, "disk");
		r = copy_disk(c, v->work, err);
	}
	return r;
}

/* It has stood still for as long as that took. */
static int set_clock(struct vm *vm, void *data, struct error *err)
{
	(void)data;
	(void)err;
	vm_clock_set(vm);
	return 0;
}

/* One that is paused has to go on for as long as it writes; for everybody else it stays paused. */
static int sync_paused(const struct capture *c, const struct view *v, struct error *err)
{
	struct vmm_wait wait = wait_of(c);
	int r = v->driver->resume(v->config, &wait, err);

	if (r == 0) {
		sync_guest(c);
		wait = wait_of(c);
		wait.cancel_fd = -1;
		r = v->driver->pause(v->config, &wait, err);
	}
	if (r < 0)
		vm_doubt(c->job);
	return r;
}

int capture_write(struct capture *c, struct error *err)
{
	struct view v = { .work = NULL };
	autofree char *work = NULL;
	struct vmm_wait wait;
	struct error resume_error;
	int r = vm_on_loop(c->job, look, &v, err);

	if (r < 0)
		return r;
	work = v.work;
	if (v.running && (c->lasting || c->sync) && (c->parts & CAPTURE_DISK))
		sync_guest(c);
	if (v.paused && c->sync && (c->parts & CAPTURE_DISK)) {
		r = sync_paused(c, &v, err);
		if (r < 0)
			return r;
	}
	if (v.running) {
		op_stage(c->op, "pause");
		wait = wait_of(c);
		r = v.driver->pause(v.config, &wait, err);
		if (r < 0) {
			vm_doubt(c->job);
			return r;
		}
	}
	r = write_parts(c, &v, err);
	if (r == 0 && !c->resume) {
		op_stage(c->op, "flush");
		r = settle(c, err);
	}
	if (v.running && (c->resume || r < 0)) {
		op_stage(c->op, "resume");
		wait = wait_of(c);
		wait.cancel_fd = -1;
		if (v.driver->resume(v.config, &wait, &resume_error) < 0) {
			vm_doubt(c->job);
			if (r == 0) {
				*err = resume_error;
				r = error_wrap(err, "the VM was captured but does not go on");
			}
		}
		(void)!vm_on_loop(c->job, set_clock, NULL, &resume_error);
	}
	if (r < 0 || !c->resume)
		return r;
	op_stage(c->op, "flush");
	return settle(c, err);
}
