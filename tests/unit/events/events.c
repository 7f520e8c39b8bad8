/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/events.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fs.h"
#include "server/store/journal.h"
#include "tests/unit/test.h"

static char dir[64];
static struct store *store;
static struct events *events;

static int set_up(void **state)
{
	char path[96];
	struct error err;

	(void)state;
	strcpy(dir, "/tmp/banger-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	assert_int_equal(store_open(path, &store, &err), 0);
	assert_int_equal(events_new(store, &events), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	events_free(events);
	store_close(store);
	assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
	return 0;
}

struct heard {
	struct events_listener *listener;
	struct events_listener *other; /* taken away by the first call */
	int calls;
	int64_t seq;
	char document[512];
};

static void hear(void *data, int64_t seq, const struct event *event, const char *document)
{
	struct heard *h = data;

	assert_string_equal(event->kind, "vm.state");
	h->calls++;
	h->seq = seq;
	(void)snprintf(h->document, sizeof(h->document), "%s", document);
	events_unlisten(h->other);
	h->other = NULL;
}

static void emit(const char *target)
{
	events_emit(events, &(struct event){ .kind = "vm.state",
					     .target = target,
					     .by = "uid:0",
					     .data = json_pack("{s:s}", "state", "running") });
}

static void an_event_is_stored_and_told_alike(void **state)
{
	struct heard h = { .calls = 0 };
	json_auto_t *o = NULL;

	(void)state;
	h.listener = events_listen(events, hear, &h);
	emit("vm1");
	emit("vm2");
	assert_int_equal(h.calls, 2);
	assert_int_equal(h.seq, 2);
	assert_int_equal(events_last(events), 2);
	o = json_loads(h.document, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(o, "id")), 2);
	assert_string_equal(json_string_value(json_object_get(o, "target")), "vm2");
	assert_string_equal(json_string_value(json_object_get(o, "by")), "uid:0");
	events_unlisten(h.listener);
	emit("vm3");
	assert_int_equal(h.calls, 2);
}

/* A listener that goes while an event is told is not called any more, nor is its memory used. */
static void a_listener_may_take_another_away(void **state)
{
	struct heard a = { .calls = 0 };
	struct heard b = { .calls = 0 };

	(void)state;
	b.listener = events_listen(events, hear, &b);
	a.listener = events_listen(events, hear, &a);
	a.other = b.listener;
	emit("vm1");
	emit("vm2");
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 0);
	events_unlisten(a.listener);
}

static void numbers_go_on_after_a_restart(void **state)
{
	(void)state;
	emit("vm1");
	events_free(events);
	assert_int_equal(events_new(store, &events), 0);
	assert_int_equal(events_last(events), 1);
	emit("vm2");
	assert_int_equal(events_last(events), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_is_stored_and_told_alike, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_listener_may_take_another_away, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(numbers_go_on_after_a_restart, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
