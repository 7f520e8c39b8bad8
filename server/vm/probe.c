/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each check asks the monitor of a VM that nothing works on how its guest is, and goes on; the
 * answer comes to the loop. A monitor that owes one for too long hangs: that is told once, and the
 * question stays open, so that the answer tells when it is over. What was answered while something
 * else worked on the VM counts for nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/vm/probe.h"

enum { HANGS_US = 10 * 1000 * 1000, ANSWER_MAX = 64 * 1024, CHUNK = 4096 };

static const char hangs_reason[] =
	"its VMM does not answer: it is stopped or hangs; kill the VM if that lasts";
static const char no_room_reason[] =
	"the guest stands still because its disk could not be written: the host has no room; make "
	"room, then resume the VM";
static const char halted_reason[] =
	"the guest was halted by its VMM, which can't let it go on; kill the VM and start it again";

struct vm_probe {
	struct vm *vm;
	int fd;
	struct loop_fd *source;
	struct loop_timer *timer;
	struct buf in;
	unsigned int turn; /* vm->turn at the question */
};

void vm_probe_end(struct vm *vm)
{
	struct vm_probe *p = TAKE_PTR(vm->probe);

	if (!p)
		return;
	loop_fd_remove(p->source);
	loop_timer_free(p->timer);
	close_keep_errno(p->fd);
	buf_done(&p->in);
	free(p);
}

/* Without a new `since`: its state is the same. */
static void set_reason(struct vm *vm, const char *reason)
{
	(void)snprintf(vm->row.reason, sizeof(vm->row.reason), "%s", reason);
	vm_save(vm);
}

static bool hangs(const struct vm *vm)
{
	return streq(vm->row.reason, hangs_reason);
}

static void hangs_now(struct vm *vm)
{
	if (hangs(vm) || vm_has_operation(vm))
		return;
	(void)snprintf(vm->reason_before, sizeof(vm->reason_before), "%s", vm->row.reason);
	set_reason(vm, hangs_reason);
	vm_tell(vm, "its VMM does not answer",
		"nothing; it is taken up again when it answers, and killed when somebody asks");
}

static void answers_again(struct vm *vm)
{
	set_reason(vm, vm->reason_before);
	vm->reason_before[0] = '\0';
	vm_tell(vm, "its VMM answers again", "nothing");
}

static void stand_still(struct vm *vm, const char *found, const char *reason)
{
	if (vm->state != VM_RUNNING)
		return;
	vm_tell(vm, found, "the VM is paused");
	vm_set_state(vm, VM_PAUSED, NULL, reason, NULL, NULL);
}

static void hold(struct vm *vm, bool is)
{
	struct error err;

	if (!vm_tell_once(vm, VM_TOLD_GUEST, is, "its guest is not as it was told",
			  "it is told again"))
		return;
	if (vm_hold_to_row(vm, &err) < 0)
		log_fields(LOG_ERROR, "not told", "vm", vm->row.id, "error", err.msg, NULL);
}

static void take_answer(struct vm *vm, enum vmm_guest guest)
{
	if (vm->doubt != VM_SURE) {
		vm_settle(vm);
		return;
	}
	switch (guest) {
	case VMM_GUEST_RUNS:
		hold(vm, vm->state == VM_PAUSED);
		break;
	case VMM_GUEST_STANDS:
		hold(vm, vm->state == VM_RUNNING);
		break;
	case VMM_GUEST_NO_ROOM:
		/* It goes on by itself where the host's disk is what is watched. */
		stand_still(vm, "its guest stands still for want of room on the host",
			    vms_room_is_short(vm->vms) ? vms_room_reason : no_room_reason);
		break;
	case VMM_GUEST_HALTED:
		stand_still(vm, "its VMM has halted the guest", halted_reason);
		break;
	}
}

static bool still_asked(const struct vm *vm, unsigned int turn)
{
	return vm->turn == turn && !vm_has_operation(vm) &&
	       (vm->state == VM_RUNNING || vm->state == VM_PAUSED);
}

static void on_bytes(void *data, uint32_t events)
{
	struct vm *vm = data;
	struct vm_probe *p = vm->probe;
	unsigned int turn = p->turn;
	uint8_t *room = buf_reserve(&p->in, CHUNK);
	ssize_t n = room ? recv(p->fd, room, CHUNK, MSG_DONTWAIT) : -1;
	enum vmm_guest guest = VMM_GUEST_RUNS;
	int r = 0;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		buf_commit(&p->in, (size_t)n);
		r = vm->driver->read_answer((const char *)buf_bytes(&p->in), buf_len(&p->in),
					    &guest);
	}
	if (n > 0 && r == 0)
		return;
	vm_probe_end(vm);
	/* One that ended meanwhile is told by its process. */
	if (n <= 0)
		return;
	if (hangs(vm))
		answers_again(vm);
	if (r < 0)
		log_fields(LOG_WARN, "monitor does not say how the guest is", "vm", vm->row.id,
			   "error", strerrordesc_np(-r), NULL);
	else if (still_asked(vm, turn))
		take_answer(vm, guest);
}

static void on_late(void *data)
{
	hangs_now(data);
}

static int begin(struct vm *vm, int fd)
{
	struct loop *loop = vm->vms->c.loop;
	struct vm_probe *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		close_keep_errno(fd);
		return -ENOMEM;
	}
	*p = (struct vm_probe){ .vm = vm, .fd = fd, .turn = vm->turn };
	buf_init(&p->in, ANSWER_MAX);
	vm->probe = p;
	r = loop_fd_add(loop, fd, EPOLLIN, on_bytes, vm, &p->source);
	if (r == 0)
		r = loop_timer_new(loop, on_late, vm, &p->timer);
	if (r < 0) {
		vm_probe_end(vm);
		return r;
	}
	loop_timer_set(p->timer, HANGS_US);
	return 0;
}

void vm_probe(struct vm *vm)
{
	int fd;

	if (vm->probe || (vm->state != VM_RUNNING && vm->state != VM_PAUSED))
		return;
	fd = vm->driver->ask(&vm->boot.config);
	/* It has not let in those who came before. */
	if (fd == -EAGAIN)
		hangs_now(vm);
	(void)vm_tell_once(vm, VM_TOLD_MONITOR, fd == -ENOENT || fd == -ECONNREFUSED,
			   "the socket of its monitor is gone",
			   "nothing; what runs goes on, but restart the VM, which makes new "
			   "sockets, before you pause, snapshot or suspend it");
	if (fd >= 0 && begin(vm, fd) < 0)
		log_fields(LOG_WARN, "monitor not asked", "vm", vm->row.id, NULL);
}
