/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ops/op.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

static struct loop *loop;
static struct ops *ops;
static int ended;
static int to_end;
static char order[64];
static size_t order_len;

static int set_up(void **state)
{
	(void)state;
	ended = 0;
	order_len = 0;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(ops_new(loop, 4, &ops), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ops_free(ops);
	loop_free(loop);
	return 0;
}

static void count_end(struct op *op, void *data)
{
	(void)op;
	(void)data;
	if (++ended == to_end)
		loop_stop(loop);
}

static struct op *submit(op_run_fn *run, void *data, const char *queue)
{
	struct op_spec spec = {
		.kind = "test", .run = run, .data = data, .done = count_end, .queue = queue
	};
	struct error err;
	struct op *op;

	assert_int_equal(ops_submit(ops, &spec, &op, &err), 0);
	return op;
}

static int note(struct op *op, void *data, struct error *err)
{
	(void)err;
	op_stage(op, "note");
	/* The first one is the slowest: only the queue can keep the order. */
	usleep(*(const char *)data == 'a' ? 20000 : 0);
	order[order_len++] = *(const char *)data;
	return 0;
}

static void one_queue_runs_in_order(void **state)
{
	static char letters[] = "abcdef";

	(void)state;
	to_end = 6;
	for (int i = 0; i < 6; i++)
		submit(note, &letters[i], "vm1");
	assert_int_equal(loop_run(loop), 0);
	assert_memory_equal(order, "abcdef", 6);
}

static int in_parts(struct op *op, void *data, struct error *err)
{
	json_auto_t *during = NULL;
	json_auto_t *after = NULL;

	(void)data;
	(void)err;
	op_stage(op, "download");
	op_progress(op, 3, 9, "bytes");
	op_part(op, 0, "first", 1, 4);
	op_part(op, 1, "a name that is longer than what is kept", 2, 5);
	op_part(op, OP_PARTS_MAX, "beyond", 1, 1);
	op_part(op, 0, "first", 2, 4);
	during = op_to_json(op);
	op_stage(op, "unpack");
	op_progress(op, 1, 0, "bytes");
	after = op_to_json(op);
	op_set_result(op, json_pack("{s:O, s:O}", "during", json_object_get(during, "progress"),
				    "after", json_object_get(after, "progress")));
	return 0;
}

static void parts_of_a_stage_are_shown_while_it_lasts(void **state)
{
	json_auto_t *shown = NULL;
	json_t *result;
	json_t *parts;
	struct op *op;

	(void)state;
	to_end = 1;
	op = op_ref(submit(in_parts, NULL, NULL));
	assert_int_equal(loop_run(loop), 0);
	shown = op_to_json(op);
	op_unref(op);
	result = json_object_get(shown, "result");
	parts = json_object_get(json_object_get(result, "during"), "parts");
	assert_int_equal(json_array_size(parts), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(parts, 0), "done")), 2);
	assert_int_equal(
		strlen(json_string_value(json_object_get(json_array_get(parts, 1), "name"))),
		OP_PART_NAME_MAX);
	assert_null(json_object_get(json_object_get(result, "after"), "parts"));
}

static void undo_letter(void *data)
{
	order[order_len++] = *(const char *)data;
}

static int fail_after_two(struct op *op, void *data, struct error *err)
{
	static char a = 'a', b = 'b';

	(void)data;
	op_stage(op, "one");
	op_undo(op, undo_letter, &a);
	op_stage(op, "two");
	op_undo(op, undo_letter, &b);
	op_stage(op, "three");
	return error_set(err, ERR_NO_ROOM, "disk full");
}

static void a_failure_undoes_in_reverse(void **state)
{
	struct op *op;

	(void)state;
	to_end = 1;
	op = submit(fail_after_two, NULL, NULL);
	assert_int_equal(loop_run(loop), 0);
	assert_memory_equal(order, "ba", 2);
	assert_int_equal(op_get_state(op), OP_FAILED);
	json_auto_t *o = op_to_json(op);
	assert_int_equal(op_error(op)->code, ERR_NO_ROOM);
	assert_int_equal(json_array_size(json_object_get(o, "stages")), 3);
}

static int wait_for_cancel(struct op *op, void *data, struct error *err)
{
	struct pollfd p = { .fd = op_cancel_fd(op), .events = POLLIN };

	(void)data;
	assert_int_equal(poll(&p, 1, 10000), 1);
	return op_check(op, err);
}

static void a_cancelled_queue_ends_all(void **state)
{
	static char x = 'x';
	struct op *running;
	struct op *queued;

	(void)state;
	to_end = 2;
	running = submit(wait_for_cancel, NULL, "q");
	queued = submit(note, &x, "q");
	assert_int_equal(op_get_state(running), OP_RUNNING);
	assert_int_equal(op_get_state(queued), OP_QUEUED);
	ops_cancel_queue(ops, "q");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(op_get_state(running), OP_CANCELLED);
	assert_int_equal(op_get_state(queued), OP_CANCELLED);
	assert_int_equal(order_len, 0);
}

static void a_long_queue_ends_whole(void **state)
{
	static char letters[] = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

	(void)state;
	to_end = 30;
	for (int i = 0; i < 30; i++)
		submit(note, &letters[i], "only");
	assert_int_equal(loop_run(loop), 0);
	assert_true(ops_idle(ops));
	assert_int_equal(order_len, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_queue_runs_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parts_of_a_stage_are_shown_while_it_lasts, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_failure_undoes_in_reverse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cancelled_queue_ends_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_queue_ends_whole, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
