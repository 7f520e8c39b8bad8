/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/standby.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/standby_internal.h"
#include "server/vm/template_internal.h"

/* How long after the last start, so that VMs that are asked for one after the other come first. */
enum { SETTLE_US = 50 * 1000 };

struct shape {
	struct shape *next;
	char key[TEMPLATE_KEY_LEN + 1];
	int64_t until_us;
	bool failed;             /* not tried again until it is wanted again */
	struct op *op;           /* makes one; NULL: none does */
	struct standby *standby; /* NULL: not ready */
};

struct standbys {
	struct templates *templates;
	struct vms *vms;
	unsigned int max;
	struct shape *shapes; /* wanted last first */
	struct loop_timer *timer;
	bool making; /* one at a time, be its shape still wanted or not */
};

/* --- the end of one --- */

static int run_end(struct op *op, void *data, struct error *err)
{
	struct standby *one = data;

	(void)op;
	(void)err;
	unseen_remove(&one->vm);
	return 0;
}

static void end_free(void *data)
{
	standby_free(data);
}

/* On a worker: a process and its files take their time to go. */
static void end(struct standby *one)
{
	struct op_spec spec = { .kind = "template.standby_end",
				.target = one->key,
				.target_name = one->vm.row.image_name,
				.request_by = "server",
				.run = run_end,
				.free_data = end_free,
				.data = one };
	struct error ignored;
	struct op *op;

	/* What can't be submitted ends here and now. */
	(void)!ops_submit(one->all->vms->c.ops, &spec, &op, &ignored);
}

/* The caller's from now on; NULL: there is none. */
static struct standby *take(struct shape *shape)
{
	struct standby *one = TAKE_PTR(shape->standby);

	if (!one)
		return NULL;
	loop_fd_remove(one->exit_source);
	one->exit_source = NULL;
	return one;
}

static struct shape *find(const struct standbys *all, const char *key)
{
	struct shape *shape = all->shapes;

	while (shape && !streq(shape->key, key))
		shape = shape->next;
	return shape;
}

static void on_exit_event(void *data, uint32_t events)
{
	struct standby *one = data;
	struct shape *shape = find(one->all, one->key);

	(void)events;
	log_fields(LOG_WARN, "a VM that was kept ready has ended", "id", one->vm.row.id, NULL);
	shape->failed = true;
	end(take(shape));
}

static void forget(struct standbys *all, struct shape *shape)
{
	struct standby *one = take(shape);
	struct op *op = TAKE_PTR(shape->op);
	struct shape **at = &all->shapes;

	while (*at != shape)
		at = &(*at)->next;
	*at = shape->next;
	free(shape);
	if (one)
		end(one);
	if (op)
		op_cancel(op);
}

/* --- making one --- */

/* Data of the operation that makes one: NULL once it has been given on. */
struct making {
	struct standby *one;
};

static int run_make(struct op *op, void *data, struct error *err)
{
	struct standby *one = ((struct making *)data)->one;
	autoclose int template_fd = templates_open(one->all->templates, one->key);
	int r;

	one->vm.op = op;
	r = template_fd < 0 ? error_errno(err, template_fd, "open template %s", one->key)
			    : standby_make(one, template_fd, err);

	/* Whose template goes finds this or that gone before it sees that it is not wanted. */
	return r < 0 && op_check(op, err) < 0 ? -ECANCELED : r;
}

static bool make_ready(struct shape *shape, struct standby *one)
{
	int r = loop_fd_add(one->all->vms->c.loop, one->vm.proc.pidfd, EPOLLIN, on_exit_event, one,
			    &one->exit_source);

	if (r < 0) {
		log_fields(LOG_WARN, "a VM kept ready can't be watched", "id", one->vm.row.id,
			   "error", strerrordesc_np(-r), NULL);
		return false;
	}
	templates_verified(one->all->templates, one->key);
	close_keep_errno(one->vm.wake_fd); /* it waits for nothing any more */
	one->vm.wake_fd = -1;
	one->vm.op = NULL;
	shape->standby = one;
	return true;
}

static struct shape *find_by_op(const struct standbys *all, const struct op *op)
{
	struct shape *shape = all->shapes;

	while (shape && shape->op != op)
		shape = shape->next;
	return shape;
}

/* A shape of the same key that came meanwhile is another: its template was not looked at. */
static void on_made(struct op *op, void *data)
{
	struct making *making = data;
	struct standbys *all = making->one->all;
	struct shape *shape = find_by_op(all, op);
	bool made = op_get_state(op) == OP_SUCCEEDED;

	all->making = false;
	loop_timer_set(all->timer, SETTLE_US);
	if (made && (!shape || !make_ready(shape, making->one)))
		end(making->one);
	if (made)
		making->one = NULL;
	if (shape) {
		shape->op = NULL;
		shape->failed = !shape->standby;
	}
}

static void make_free(void *data)
{
	struct making *making = data;

	standby_free(making->one);
	free(making);
}

static int make(struct standbys *all, struct shape *shape, const struct template *one,
		struct error *err)
{
	struct making *making = calloc(1, sizeof(*making));
	struct standby *standby = calloc(1, sizeof(*standby));
	struct op_spec spec = { .kind = "template.standby",
				.target = one->key,
				.target_name = one->image_name,
				.queue = "standbys",
				.request_by = "server",
				.run = run_make,
				.done = on_made,
				.free_data = make_free,
				.data = making };
	struct vm_row row;
	int r;

	if (!making || !standby) {
		free(making);
		free(standby);
		return error_errno(err, -ENOMEM, "VM to be kept ready");
	}
	making->one = standby;
	standby->all = all;
	standby->made = one->made;
	standby->verified = one->verified;
	(void)snprintf(standby->key, sizeof(standby->key), "%s", one->key);
	template_shape(one, &row);
	r = unseen_init(&standby->vm, all->vms, &row, NULL, err);
	if (r < 0) {
		make_free(making);
		return r;
	}
	r = ops_submit(all->vms->c.ops, &spec, &shape->op, err);
	all->making = r == 0;
	return r;
}

static bool is_starting(const struct vms *vms)
{
	for (const struct vm *vm = vms->first; vm; vm = vm->next)
		if (vm->state == VM_STARTING ||
		    (vm->state == VM_CREATED && streq(vm->row.desired, "running")))
			return true;
	return false;
}

/* The first that has none is got ready, or it is said why not. */
static void make_next(struct standbys *all)
{
	for (struct shape *shape = all->shapes; shape; shape = shape->next) {
		const struct template *one = templates_find(all->templates, shape->key);
		struct error err;

		if (shape->standby || shape->failed || !one)
			continue;
		if (vms_admit(all->vms, (uint64_t)one->memory_mib, &err) == 0 &&
		    make(all, shape, one, &err) == 0)
			return;
		shape->failed = true;
		log_fields(LOG_INFO, "no VM is kept ready", "template", shape->key, "why", err.msg,
			   NULL);
	}
}

static bool has_work(const struct standbys *all)
{
	for (const struct shape *shape = all->shapes; shape; shape = shape->next)
		if (!shape->standby && !shape->failed)
			return true;
	return false;
}

/* Those that nobody asked for any more go; the next look is when the next one will. */
static void on_timer(void *data)
{
	struct standbys *all = data;
	int64_t now = clock_mono_us();
	int64_t next = INT64_MAX;
	struct shape *after;

	for (struct shape *shape = all->shapes; shape; shape = after) {
		after = shape->next;
		if (shape->until_us <= now)
			forget(all, shape);
		else if (shape->until_us < next)
			next = shape->until_us;
	}
	if (!all->making && has_work(all)) {
		if (is_starting(all->vms)) {
			loop_timer_set(all->timer, SETTLE_US);
			return;
		}
		make_next(all);
	}
	if (all->shapes)
		loop_timer_set(all->timer, next - now);
}

/* --- what others see --- */

int standbys_new(struct templates *templates, struct vms *vms, unsigned int max,
		 struct standbys **ret_standbys, struct error *err)
{
	struct standbys *all = calloc(1, sizeof(*all));
	int r = all ? loop_timer_new(vms->c.loop, on_timer, all, &all->timer) : -ENOMEM;

	if (r < 0) {
		free(all);
		return error_errno(err, r, "VMs kept ready");
	}
	all->templates = templates;
	all->vms = vms;
	/* The monitor must take a network late. */
	all->max = vms->c.driver && vms->c.driver->join_net ? max : 0;
	*ret_standbys = all;
	return 0;
}

void standbys_stop(struct standbys *all)
{
	all->max = 0;
	while (all->shapes)
		forget(all, all->shapes);
}

void standbys_free(struct standbys *all)
{
	if (!all)
		return;
	/* Operations there are none any more. */
	while (all->shapes) {
		struct shape *shape = all->shapes;

		all->shapes = shape->next;
		standby_free(take(shape));
		free(shape);
	}
	loop_timer_free(all->timer);
	free(all);
}

static struct shape *add(struct standbys *all, const char *key)
{
	struct shape **last = &all->shapes;
	unsigned int n = 0;
	struct shape *shape = calloc(1, sizeof(*shape));

	if (!shape)
		return NULL;
	for (; *last && n + 1 < all->max; n++)
		last = &(*last)->next;
	while (*last)
		forget(all, *last);
	(void)snprintf(shape->key, sizeof(shape->key), "%s", key);
	shape->next = all->shapes;
	all->shapes = shape;
	return shape;
}

static void to_the_front(struct standbys *all, struct shape *shape)
{
	struct shape **at = &all->shapes;

	while (*at != shape)
		at = &(*at)->next;
	*at = shape->next;
	shape->next = all->shapes;
	all->shapes = shape;
}

void standby_want(struct standbys *all, const struct template *one)
{
	struct shape *shape = find(all, one->key);

	if (all->max == 0)
		return;
	if (shape)
		to_the_front(all, shape);
	else
		shape = add(all, one->key);
	if (!shape)
		return;
	shape->failed = false;
	shape->until_us = clock_mono_us() + (int64_t)STANDBY_IDLE_S * 1000 * 1000;
	loop_timer_set(all->timer, SETTLE_US);
}

void standby_drop(struct standbys *all, const char *key)
{
	struct shape *shape = find(all, key);

	if (shape)
		forget(all, shape);
}

const char *standby_id(const struct standbys *all, const char *key)
{
	const struct shape *shape = find(all, key);

	return shape && shape->standby ? shape->standby->vm.row.id : NULL;
}

struct standby *standby_take(struct standbys *all, const char *key, const char *id)
{
	struct shape *shape = find(all, key);

	if (!shape || !shape->standby || !streq(shape->standby->vm.row.id, id))
		return NULL;
	return take(shape);
}
