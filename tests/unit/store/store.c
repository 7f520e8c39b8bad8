/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/store/images.h"
#include "server/store/journal.h"
#include "server/store/tokens.h"
#include "server/store/vms.h"
#include "tests/unit/test.h"

static char dir[64];
static char path[96];
static struct store *store;
static struct error err;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/banger-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	assert_int_equal(store_open(path, &store, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(store);
	assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
	return 0;
}

static struct vm_row sample(const char *name)
{
	struct vm_row v = { .state = "created",
			    .desired = "running",
			    .image_id = "sha256-x",
			    .image_name = "mini",
			    .kernel_id = "sha256-k",
			    .vcpus = 1,
			    .memory_mib = 256,
			    .disk_mib = 1024,
			    .network = "none",
			    .nat = true,
			    .isolated = true,
			    .address = 0xfffffff0,
			    .init = "agent",
			    .labels = "{}",
			    .created_ms = 5,
			    .ends_ms = 7,
			    .idle_stop_s = 8,
			    .idle_suspend_s = 9,
			    .wake = "never" };

	(void)snprintf(v.id, sizeof(v.id), "%s", id_new().s);
	(void)snprintf(v.name, sizeof(v.name), "%s", name);
	return v;
}

static int take_last(const struct vm_row *row, void *data, struct error *e)
{
	(void)e;
	*(struct vm_row *)data = *row;
	return 0;
}

static void a_row_comes_back_as_it_was(void **state)
{
	struct vm_row v = sample("web");
	struct vm_row got;

	(void)state;
	(void)snprintf(v.labels, sizeof(v.labels), "{\"a\":\"ü\"}");
	assert_int_equal(vms_insert(store, &v, &err), 0);
	store_close(store);
	assert_int_equal(store_open(path, &store, &err), 0);
	assert_int_equal(vms_each(store, take_last, &got, &err), 0);
	assert_string_equal(got.name, "web");
	assert_string_equal(got.labels, v.labels);
	assert_int_equal(got.memory_mib, 256);
	assert_true(got.nat);
	assert_true(got.isolated);
	assert_int_equal(got.address, 0xfffffff0);
	assert_int_equal(got.ends_ms, 7);
	assert_int_equal(got.idle_stop_s, 8);
	assert_int_equal(got.idle_suspend_s, 9);
	assert_string_equal(got.wake, "never");
}

/* Somebody else's lock is waited for a little; after a wait in vain the next ones fail at once. */
static void a_lock_is_waited_for_once_and_writes_are_timed(void **state)
{
	struct vm_row v = sample("web");
	const struct store_writes *w = store_writes(store);
	struct store *other;
	struct store_tx tx;
	uint64_t within = 0;
	uint64_t before;
	char holder[64];

	(void)state;
	assert_int_equal(store_open(path, &other, &err), 0);
	assert_int_equal(store_tx_begin(other, &tx, &err), 0);
	assert_true(store_writable(store, &err) < 0);
	before = w->count;
	for (int i = 0; i < 10; i++) {
		assert_true(vms_insert(store, &v, &err) < 0);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
	}
	assert_int_equal(w->count, before + 10);
	for (size_t i = 0; i < STORE_BOUNDS; i++)
		within += w->within[i];
	assert_int_equal(within, w->count);
	(void)snprintf(holder, sizeof(holder), "locked by process %d", (int)getpid());
	assert_non_null(strstr(err.msg, holder));
	store_tx_done(&tx);
	(void)usleep(20 * 1000);
	assert_int_equal(store_writable(store, &err), 0);
	assert_int_equal(vms_insert(store, &v, &err), 0);
	store_close(other);
}

static void a_second_vm_of_the_same_name_is_refused(void **state)
{
	struct vm_row a = sample("web");
	struct vm_row b = sample("web");

	(void)state;
	assert_int_equal(vms_insert(store, &a, &err), 0);
	assert_true(vms_insert(store, &b, &err) < 0);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_string_equal(err.msg, "/name: a VM named 'web' exists already");
}

static void a_row_that_breaks_a_rule_does_not_exist_already(void **state)
{
	struct vm_row row = sample("web");

	(void)state;
	row.vcpus = 0;
	assert_true(vms_insert(store, &row, &err) < 0);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.msg, "CHECK constraint failed"));
}

static void a_state_changes_only_from_the_expected_one(void **state)
{
	struct vm_row v = sample("web");

	(void)state;
	assert_int_equal(vms_insert(store, &v, &err), 0);
	strcpy(v.state, "starting");
	assert_int_equal(vms_set_state(store, &v, "created", &err), 0);
	assert_true(vms_set_state(store, &v, "created", &err) < 0);
	assert_int_equal(err.code, ERR_STATE);
	strcpy(v.state, "nonsense");
	assert_true(vms_set_state(store, &v, "starting", &err) < 0);
}

static void a_transaction_that_is_not_committed_leaves_nothing(void **state)
{
	struct vm_row got = { .name = "none" };

	(void)state;
	{
		struct store_tx tx CLEANUP(store_tx_done) = { 0 };
		struct vm_row v = sample("web");

		assert_int_equal(store_tx_begin(store, &tx, &err), 0);
		assert_int_equal(vms_insert(store, &v, &err), 0);
	}
	assert_int_equal(vms_each(store, take_last, &got, &err), 0);
	assert_string_equal(got.name, "none");
}

static int count_one(int64_t seq, const char *document, void *data, struct error *e)
{
	(void)seq;
	(void)document;
	(void)e;
	++*(int *)data;
	return 0;
}

static void events_are_numbered_and_bounded(void **state)
{
	struct store_tx tx CLEANUP(store_tx_done) = { 0 };
	const struct event_filter all = { .kind = NULL }, requests = { .kind = "request" },
				  one = { .kind = "vm.", .target = "x", .who = "me" },
				  other = { .kind = "vm.", .target = "y" };
	int64_t oldest = 0;
	int n = 0;

	(void)state;
	assert_int_equal(store_tx_begin(store, &tx, &err), 0);
	assert_int_equal(events_insert(store, 1, 0, "request", "x", "me", "{}", &err), 0);
	for (int i = 0; i < EVENTS_KEPT + 10; i++)
		assert_int_equal(events_insert(store, i + 2, i, "vm.state", "x", "me", "{}", &err),
				 0);
	assert_int_equal(events_bound(store, &err), 0);
	assert_int_equal(events_oldest(store, &oldest, &err), 0);
	assert_int_equal(oldest, 12);
	assert_int_equal(events_each(store, 0, &all, 1000000, count_one, &n, &err), 0);
	assert_int_equal(n, EVENTS_KEPT + 1);
	n = 0;
	assert_int_equal(events_each(store, EVENTS_KEPT + 1, &one, 1000, count_one, &n, &err), 0);
	assert_int_equal(n, 10);
	n = 0;
	assert_int_equal(events_each(store, 0, &requests, 1000, count_one, &n, &err), 0);
	assert_int_equal(n, 1);
	n = 0;
	assert_int_equal(events_each(store, 0, &other, 1000, count_one, &n, &err), 0);
	assert_int_equal(n, 0);
}

static void operations_are_kept_for_seven_days_and_up_to_a_number(void **state)
{
	const struct operation_filter all = { .kind = NULL },
				      wanted = { .kind = "vm.", .target = "a", .state = "failed" };
	const int64_t now = OPERATIONS_KEPT_MS + 1000;
	struct store_tx tx CLEANUP(store_tx_done) = { 0 };
	char id[17];
	int n = 0;

	(void)state;
	assert_int_equal(store_tx_begin(store, &tx, &err), 0);
	for (int i = 0; i < OPERATIONS_KEPT + 10; i++) {
		(void)snprintf(id, sizeof(id), "%016d", i);
		assert_int_equal(operations_put(store, id, "vm.start", i % 2 ? "a" : "b",
						i < 10 ? "failed" : "succeeded", i < 5 ? 1 : now,
						"{}", &err),
				 0);
	}
	assert_int_equal(operations_each(store, "", &wanted, 1000, count_one, &n, &err), 0);
	assert_int_equal(n, 5);
	assert_int_equal(operations_expire(store, now + 10, &err), 0);
	n = 0;
	assert_int_equal(operations_each(store, "", &all, 1000000, count_one, &n, &err), 0);
	assert_int_equal(n, OPERATIONS_KEPT);
	n = 0;
	assert_int_equal(
		operations_each(store, "0000000000000010", &all, 1000, count_one, &n, &err), 0);
	assert_int_equal(n, 0);
}

static void run_sql(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void an_older_database_is_brought_up_and_a_newer_one_refused(void **state)
{
	struct vm_row row = sample("kept");
	struct vm_row got;

	(void)state;
	assert_int_equal(vms_insert(store, &row, &err), 0);
	store_close(TAKE_PTR(store));
	run_sql("DROP TABLE workspaces; PRAGMA user_version=1");
	assert_int_equal(store_open(path, &store, &err), 0);
	assert_int_equal(vms_each(store, take_last, &got, &err), 0);
	assert_string_equal(got.name, "kept");

	store_close(TAKE_PTR(store));
	run_sql("PRAGMA user_version=1");
	assert_int_equal(store_open(path, &store, &err), 0);

	store_close(TAKE_PTR(store));
	run_sql("PRAGMA user_version=99");
	assert_true(store_open(path, &store, &err) < 0);
	assert_non_null(strstr(err.msg, "newer banger"));
	run_sql("PRAGMA user_version=2");
	assert_int_equal(store_open(path, &store, &err), 0);
}

static void a_damaged_database_is_refused_in_one_line(void **state)
{
	static const char junk[] =
		"this is no database, and long enough to be taken for one at first sight .......";
	autoclose int fd = -1;
	struct store *other = NULL;
	bool exists = false;
	char bad[96];

	(void)state;
	(void)snprintf(bad, sizeof(bad), "%s/bad.db", dir);
	assert_int_equal(store_check(bad, &exists, &err), 0);
	assert_false(exists);
	fd = open(bad, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write_all(fd, junk, sizeof(junk)), 0);
	assert_true(store_open(bad, &other, &err) < 0);
	assert_null(strchr(err.msg, '\n'));
	assert_non_null(strstr(err.msg, bad));
	assert_true(store_check(bad, &exists, &err) < 0);
	assert_int_equal(store_check(path, &exists, &err), 0);
	assert_true(exists);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_row_comes_back_as_it_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lock_is_waited_for_once_and_writes_are_timed,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_row_that_breaks_a_rule_does_not_exist_already,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_vm_of_the_same_name_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_state_changes_only_from_the_expected_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_transaction_that_is_not_committed_leaves_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(events_are_numbered_and_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			operations_are_kept_for_seven_days_and_up_to_a_number, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_older_database_is_brought_up_and_a_newer_one_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_database_is_refused_in_one_line, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
