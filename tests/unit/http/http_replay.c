/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: repeated, concurrent, conflicting and interrupted requests. */
#include <errno.h>
#include <sys/socket.h>

#include "tests/unit/http/fixture.h"

const char *const test_document = NULL;

static atomic_int runs;
static char last_id[32];

/* --- the store, in memory --- */

enum { RECORDS = 16 };

static struct record {
	char who[64];
	char key[64];
	struct http_saved saved;
} records[RECORDS];

static struct record *record_of(const char *who, const char *key)
{
	for (size_t i = 0; i < RECORDS; i++)
		if (streq(records[i].who, who) && streq(records[i].key, key))
			return &records[i];
	return NULL;
}

static int find_record(void *context, const char *who, const char *key, struct http_saved *ret,
		       struct error *err)
{
	const struct record *r = record_of(who, key);

	(void)context;
	(void)err;
	if (!r)
		return -ENOENT;
	*ret = r->saved;
	ret->headers = strdup(r->saved.headers);
	ret->body = strdup(r->saved.body);
	return 0;
}

static int save_record(void *context, const char *who, const char *key,
		       const struct http_saved *saved, struct error *err)
{
	struct record *r = record_of(who, key);

	(void)context;
	(void)err;
	if (!r)
		r = record_of("", "");
	if (!r)
		return -ENOSPC;
	http_saved_done(&r->saved);
	(void)snprintf(r->who, sizeof(r->who), "%s", who);
	(void)snprintf(r->key, sizeof(r->key), "%s", key);
	r->saved = *saved;
	r->saved.headers = strdup(saved->headers);
	r->saved.body = strdup(saved->body);
	return 0;
}

static void forget_record(void *context, const char *who, const char *key)
{
	struct record *r = record_of(who, key);

	(void)context;
	if (!r)
		return;
	http_saved_done(&r->saved);
	*r = (struct record){ 0 };
}

static void resume(void *context, struct http_request *req, const char *operation,
		   const char *location)
{
	(void)context;
	http_reply_header(req, "Location", location);
	http_reply_json(req, 202, json_pack("{s:s}", "id", operation));
}

const struct http_replays test_replays = { find_record, save_record, forget_record, resume };

/* --- handlers --- */

struct delayed {
	struct http_request *req;
	struct loop_timer *timer;
};

static void delayed_free(void *data)
{
	struct delayed *d = data;

	loop_timer_free(d->timer);
	free(d);
	atomic_fetch_add(&fx.gone, 1);
}

static void reply_delayed(void *data)
{
	struct delayed *d = data;

	http_reply_header(d->req, "Location", "/vms/x");
	http_reply_json(d->req, 201, json_pack("{s:s}", "id", http_new_id(d->req)));
	loop_timer_free(d->timer);
	free(d);
}

static void create_vm(struct http_request *req, void *context)
{
	struct delayed *d = calloc(1, sizeof(*d));

	(void)context;
	(void)snprintf(last_id, sizeof(last_id), "%s", http_new_id(req));
	atomic_fetch_add(&runs, 1);
	d->req = req;
	assert_int_equal(loop_timer_new(fx.loop, reply_delayed, d, &d->timer), 0);
	loop_timer_set(d->timer, http_prefer_wait(req) * 100000);
	http_on_gone(req, delayed_free, d);
}

/* Begins an operation and never replies. */
static void start_vm(struct http_request *req, void *context)
{
	(void)context;
	if (streq(http_param(req, "vm"), "op"))
		http_note_operation(req, "0123456789abcdef", "/vms/op");
	atomic_fetch_add(&runs, 1);
}

static void stop_vm(struct http_request *req, void *context)
{
	struct error err = ERROR_INIT;

	(void)context;
	atomic_fetch_add(&runs, 1);
	(void)error_set(&err, ERR_STATE, "it does not run");
	http_reply_error(req, &err, NULL);
}

static void exec_vm(struct http_request *req, void *context)
{
	struct http_stream *s = http_stream_begin(req, 200, "text/plain", NULL, NULL);

	(void)context;
	assert_int_equal(http_stream_write(s, "out", 3), 0);
	http_stream_end(s);
}

const struct http_handler test_handlers[] = {
	{ "vm_create", create_vm },
	{ "vm_start", start_vm },
	{ "vm_stop", stop_vm },
	{ "vm_exec", exec_vm },
};
const size_t test_handlers_n = ARRAY_SIZE(test_handlers);

/* --- tests --- */

static int setup(void **state)
{
	atomic_store(&runs, 0);
	return fixture_setup(state);
}

static int teardown(void **state)
{
	int r = fixture_teardown(state);

	for (size_t i = 0; i < RECORDS; i++) {
		http_saved_done(&records[i].saved);
		records[i] = (struct record){ 0 };
	}
	return r;
}

static void test_repeated(void **state)
{
	(void)state;
	EXPECT(201, "Location: /vms/x", .path = "/vms", .body = "{}",
	       .headers = { "Idempotency-Key: a" });
	EXPECT(201, last_id, .path = "/vms", .body = "{}", .headers = { "Idempotency-Key: a" });
	EXPECT(201, "Idempotent-Replayed: true", .path = "/vms", .body = "{}",
	       .headers = { "Idempotency-Key: a" });
	EXPECT(201, "Location: /vms/x", .path = "/vms", .body = "{}",
	       .headers = { "Idempotency-Key: a" });
	assert_int_equal(atomic_load(&runs), 1);
	EXPECT(409, "used for another request", .path = "/vms", .body = "{\"name\":\"x\"}",
	       .headers = { "Idempotency-Key: a" });
	EXPECT(409, "used for another request", .path = "/vms/x/stop", .method = "POST",
	       .headers = { "Idempotency-Key: a" });
	assert_int_equal(atomic_load(&runs), 1);
	EXPECT(201, "", .path = "/vms", .body = "{}", .headers = { "Idempotency-Key: b" });
	/* Another caller has keys of its own. */
	EXPECT(201, "", .path = "/vms", .body = "{}", .tcp = true,
	       .headers = { "Idempotency-Key: a", "Authorization: Bearer runner" });
	assert_int_equal(atomic_load(&runs), 3);
	EXPECT(201, "", .path = "/vms", .body = "{}");
	EXPECT(422, "Idempotency-Key", .path = "/vms", .body = "{}",
	       .headers = { "Idempotency-Key;" });
}

/* What failed may be tried again with the same key. */
static void test_failed(void **state)
{
	(void)state;
	for (int i = 1; i <= 2; i++) {
		EXPECT(409, "it does not run", .path = "/vms/x/stop", .method = "POST",
		       .headers = { "Idempotency-Key: a" });
		assert_int_equal(atomic_load(&runs), i);
	}
	EXPECT(422, "", .path = "/vms", .body = "{\"vcpus\":0}",
	       .headers = { "Idempotency-Key: c" });
	EXPECT(201, "", .path = "/vms", .body = "{}", .headers = { "Idempotency-Key: c" });
}

static const char slow_create[] =
	"POST /vms HTTP/1.1\r\nHost: x\r\nPrefer: wait=5\r\nIdempotency-Key: k\r\n"
	"Content-Length: 2\r\n\r\n{}";

static void test_concurrent(void **state)
{
	int first = connect_unix();
	int second = connect_unix();
	int leaver = connect_unix();
	char reply[2][1024] = { "", "" };

	(void)state;
	assert_true(send(first, slow_create, strlen(slow_create), 0) > 0);
	wait_for(&runs, 1);
	assert_true(send(second, slow_create, strlen(slow_create), 0) > 0);
	assert_true(send(leaver, slow_create, strlen(slow_create), 0) > 0);
	EXPECT(409, "another request", .path = "/vms", .body = "{\"vcpus\":2}",
	       .headers = { "Idempotency-Key: k" });
	(void)close(leaver);
	assert_true(read(first, reply[0], sizeof(reply[0]) - 1) > 0);
	assert_true(read(second, reply[1], sizeof(reply[1]) - 1) > 0);
	assert_non_null(strstr(reply[0], last_id));
	assert_null(strstr(reply[0], "Idempotent-Replayed"));
	assert_non_null(strstr(reply[1], last_id));
	assert_non_null(strstr(reply[1], "Idempotent-Replayed: true"));
	assert_int_equal(atomic_load(&runs), 1);
	(void)close(first);
	(void)close(second);
}

/* The client left before its reply: its repetition makes the same thing, not another one. */
static void test_client_left(void **state)
{
	int fd = connect_unix();
	char id[32];

	(void)state;
	assert_true(send(fd, slow_create, strlen(slow_create), 0) > 0);
	wait_for(&runs, 1);
	(void)snprintf(id, sizeof(id), "%s", last_id);
	(void)close(fd);
	wait_for(&fx.gone, 1);
	EXPECT(201, id, .path = "/vms", .body = "{}", .headers = { "Idempotency-Key: k" });
	assert_int_equal(atomic_load(&runs), 2);
	assert_string_equal(id, last_id);
	EXPECT(201, "Idempotent-Replayed", .path = "/vms", .body = "{}",
	       .headers = { "Idempotency-Key: k" });
	assert_int_equal(atomic_load(&runs), 2);
}

static void leave(const char *vm)
{
	char request[256];
	int fd = connect_unix();
	int before = atomic_load(&runs);

	(void)snprintf(request, sizeof(request),
		       "POST /vms/%s/start HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\n\r\n", vm,
		       vm);
	assert_true(send(fd, request, strlen(request), 0) > 0);
	wait_for(&runs, before + 1);
	(void)close(fd);
	/* Its end has been seen when a later connection is served. */
	EXPECT(200, "", .path = "/openapi.yaml");
}

static void test_resumed(void **state)
{
	(void)state;
	leave("op");
	EXPECT(202, "0123456789abcdef", .path = "/vms/op/start", .method = "POST",
	       .headers = { "Idempotency-Key: op" });
	leave("none");
	EXPECT(409, "ended without a reply", .path = "/vms/none/start", .method = "POST",
	       .headers = { "Idempotency-Key: none" });
}

/* A stream is not kept: saying so is better than running it twice. */
static void test_stream(void **state)
{
	(void)state;
	EXPECT(200, "out", .path = "/vms/x/exec", .body = "{\"argv\":[\"x\"]}",
	       .headers = { "Idempotency-Key: s", "Accept: text/plain" });
	EXPECT(409, "ended without a reply", .path = "/vms/x/exec", .body = "{\"argv\":[\"x\"]}",
	       .headers = { "Idempotency-Key: s" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_repeated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_concurrent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resumed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
	};

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
