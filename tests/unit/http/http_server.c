/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies over real sockets. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/unit/http/fixture.h"

enum { STREAM_BYTES = 3 * 1024 * 1024, WAITERS = 200 };

/* --- handlers --- */

static void get_health(struct http_request *req, void *context)
{
	(void)context;
	http_reply_json(req, 200, json_pack("{s:s}", "status", "ok"));
}

static void get_vm(struct http_request *req, void *context)
{
	(void)context;
	if (http_not_modified(req, "1"))
		return;
	http_reply_json(req, 200,
			json_pack("{s:s, s:s, s:i}", "vm", http_param(req, "vm"), "principal",
				  http_principal(req), "wait", http_prefer_wait(req)));
}

static void list_vms(struct http_request *req, void *context)
{
	json_t *labels = json_array();
	size_t at = 0;

	(void)context;
	for (const char *l; (l = http_query_next(req, "label", &at)) != NULL;)
		(void)json_array_append_new(labels, json_string(l));
	http_reply_json(req, 200, json_pack("{s:o}", "labels", labels));
}

struct delayed {
	struct http_request *req;
	struct loop_timer *timer;
};

static void reply_delayed(void *data)
{
	struct delayed *d = data;

	atomic_fetch_sub(&fx.waiting, 1);
	http_reply_json(d->req, 201, json_deep_copy(http_body(d->req)));
	loop_timer_free(d->timer);
	free(d);
}

/* Replies later, as an operation would. */
static void create_vm(struct http_request *req, void *context)
{
	struct delayed *d = calloc(1, sizeof(*d));

	(void)context;
	d->req = req;
	assert_int_equal(loop_timer_new(fx.loop, reply_delayed, d, &d->timer), 0);
	loop_timer_set(d->timer, http_prefer_wait(req) * 100000);
	atomic_fetch_add(&fx.waiting, 1);
}

static void count_gone(void *data)
{
	(void)data;
	atomic_fetch_add(&fx.gone, 1);
}

/* Never replies. */
static void start_vm(struct http_request *req, void *context)
{
	(void)context;
	http_on_gone(req, count_gone, NULL);
	atomic_fetch_add(&fx.waiting, 1);
}

static struct flood {
	struct http_stream *stream;
	size_t sent;
} flood;

static void flood_more(void *data)
{
	struct flood *f = data;
	static const char block[10000];

	while (f->sent < STREAM_BYTES) {
		size_t n = STREAM_BYTES - f->sent < sizeof(block) ? STREAM_BYTES - f->sent
								  : sizeof(block);

		if (http_stream_write(f->stream, block, n) < 0)
			return;
		f->sent += n;
	}
	http_stream_trailer(f->stream, "Banger-Exit-Code", "7");
	http_stream_end(f->stream);
}

static const struct http_stream_callbacks flood_callbacks = { .drained = flood_more,
							      .gone = count_gone };

static void exec_vm(struct http_request *req, void *context)
{
	struct error err = ERROR_INIT;

	(void)context;
	if (!http_accepts(req, "text/plain")) {
		(void)error_set(&err, ERR_STATE, "vm %s is stopped", http_param(req, "vm"));
		http_reply_error(req, &err, "0123456789abcdef");
		return;
	}
	http_reply_header(req, "Trailer", "Banger-Exit-Code");
	flood.sent = 0;
	flood.stream = http_stream_begin(req, 200, "text/plain", &flood_callbacks, &flood);
	flood_more(&flood);
}

static const struct http_stream_callbacks follow_callbacks = { .gone = count_gone };

/* A stream that says one thing and then nothing. */
static void logs_vm(struct http_request *req, void *context)
{
	struct http_stream *s = http_stream_begin(req, 200, "text/plain", &follow_callbacks, NULL);

	(void)context;
	assert_int_equal(http_stream_write(s, "hello\n", 6), 0);
	atomic_fetch_add(&fx.waiting, 1);
}

const struct http_handler test_handlers[] = {
	{ "healthz", get_health },  { "vm_get", get_vm },     { "vm_list", list_vms },
	{ "vm_create", create_vm }, { "vm_start", start_vm }, { "vm_exec", exec_vm },
	{ "vm_logs", logs_vm },
};
const struct http_replays test_replays = { 0 };
const char *const test_document = NULL;
const size_t test_handlers_n = ARRAY_SIZE(test_handlers);

/* --- tests --- */

static void test_replies(void **state)
{
	(void)state;
	EXPECT(200, "{\"status\":\"ok\"}", .path = "/healthz");
	EXPECT(200, "\"vm\":\"web\"", .path = "/vms/web");
	EXPECT(200, "\"vm\":\"web\"", .path = "/vms/web/");
	EXPECT(200, "ETag: \"1\"", .path = "/vms/web");
	EXPECT(304, "ETag: \"1\"", .path = "/vms/web",
	       .headers = { "If-None-Match: \"0\", W/\"1\"" });
	EXPECT(200, "web", .path = "/vms/web", .headers = { "If-None-Match: \"12\"" });
	EXPECT(200, "ETag: \"", .path = "/healthz");
	EXPECT(304, "ETag: \"92ae23487a8ce153\"", .path = "/healthz",
	       .headers = { "If-None-Match: \"92ae23487a8ce153\"" });
	EXPECT(200, "\"wait\":30", .path = "/vms/web",
	       .headers = { "Prefer: respond-async, wait=30" });
	EXPECT(200, "{\"labels\":[\"a=b c\",\"d\"]}", .path = "/vms?label=a%3Db+c&label=d&limit=3");
	EXPECT(200, "openapi", .path = "/openapi.json");
	EXPECT(200, "operationId: vm_list", .path = "/openapi.yaml");
	EXPECT(200, "status 404", .path = "/problems/not_found");
	EXPECT(204, "Allow: OPTIONS, HEAD, GET, POST", .path = "/vms", .method = "OPTIONS");
}

static void test_refusals(void **state)
{
	(void)state;
	EXPECT(404, "\"code\":\"not_found\"", .path = "/nothing");
	EXPECT(404, "\"type\":\"/problems/not_found\"", .path = "/problems/nonsense");
	EXPECT(405, "Allow: OPTIONS, HEAD, GET, POST", .path = "/vms", .method = "PUT");
	EXPECT(405, "method_not_allowed", .path = "/vms/web", .method = "TRACE");
	EXPECT(405, "/vms/a-name-that-is-longer does not know TRACE",
	       .path = "/vms/a-name-that-is-longer", .method = "TRACE");
	EXPECT(400, "escape", .path = "/vms/%00");
	EXPECT(400, "segment", .path = "/vms/../x");
	EXPECT(422, "\"parameter\":\"vm\"", .path = "/vms/Bad_Name");
	EXPECT(422, "\"parameter\":\"limit\"", .path = "/vms?limit=0");
	EXPECT(422, "\"parameter\":\"limit\"", .path = "/vms?limit=x");
	EXPECT(422, "more than once", .path = "/vms?limit=1&limit=2");
	EXPECT(422, "there is no such parameter", .path = "/vms?nope=1");
	EXPECT(422, "Known parameters: since, watch,", .path = "/vms?nope=1");
	EXPECT(422, "It takes no parameters.", .path = "/healthz?nope=1");
	EXPECT(406, "not_acceptable", .path = "/vms", .headers = { "Accept: image/png" });
	EXPECT(409, "\"operation\":\"0123456789abcdef\"", .path = "/vms/web/exec",
	       .body = "{\"argv\":[\"true\"]}");
	EXPECT(404, "Not found: there is nothing at /nothing\n", .path = "/nothing",
	       .headers = { "Accept: text/plain" });
}

static void test_bodies(void **state)
{
	autofree char *deep = malloc(1000);
	autofree char *large = malloc(1200000);

	(void)state;
	EXPECT(201, "{\"name\":\"web\"}", .path = "/vms", .body = "{\"name\":\"web\"}");
	EXPECT(201, "{}", .path = "/vms", .body = "{}",
	       .headers = { "Content-Type: application/json; charset=utf-8" });
	EXPECT(400, "wants a body", .path = "/vms", .method = "POST");
	EXPECT(400, "takes no body", .path = "/vms/web", .method = "GET", .body = "{}");
	EXPECT(400, "line 1, column", .path = "/vms", .body = "{\"name\":");
	EXPECT(400, "duplicate", .path = "/vms", .body = "{\"vcpus\":1,\"vcpus\":2}");
	EXPECT(400, "bad_request", .path = "/vms", .body = "{\"vcpus\":NaN}");
	EXPECT(415, "text/html", .path = "/vms", .body = "{}",
	       .headers = { "Content-Type: text/html" });
	EXPECT(415, "gzip", .path = "/vms", .body = "{}", .headers = { "Content-Encoding: gzip" });
	EXPECT(422, "\"pointer\":\"/vcpus\",\"detail\":\"must be at least 1\"", .path = "/vms",
	       .body = "{\"vcpus\":0}");
	EXPECT(422, "Did you mean memory_mib?", .path = "/vms", .body = "{\"memory\":256}");
	EXPECT(422, "3 values are not acceptable", .path = "/vms",
	       .body = "{\"name\":\"-\",\"vcpus\":\"2\",\"nope\":null}");
	EXPECT(422, "must be an object", .path = "/vms", .body = "[]");
	memset(deep, '[', 999);
	deep[999] = '\0';
	EXPECT(400, "nested", .path = "/vms", .body = deep);
	memset(large, ' ', 1199999);
	large[1199999] = '\0';
	EXPECT(413, "1199999 bytes; at most 1048576 are taken", .path = "/vms", .body = large);
	EXPECT(413, "Send at most what the detail names", .path = "/vms", .body = large);
	EXPECT(413, "more than 1048576 bytes, the most that is taken", .path = "/vms",
	       .body = large, .headers = { "Transfer-Encoding: chunked" });
}

static void test_framing(void **state)
{
	static const struct {
		const char *request;
		const char *reply;
	} rows[] = {
		{ "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200" },
		{ "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400" },
		{ "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "HTTP/1.1 400" },
		{ "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200" },
		{ "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 400" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
		  "{}",
		  "HTTP/1.1 400" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}", "HTTP/1.1 4" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: 2x\r\n\r\n{}", "HTTP/1.1 4" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n"
		  "\r\n",
		  "HTTP/1.1 4" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /healthz "
		  "HTTP/1.1\r\nHost: x\r\n\r\n",
		  "HTTP/1.1 201" },
		{ "\x01\x02\r\n\r\n", "" },
	};
	char reply[65536];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		raw(rows[i].request, reply, sizeof(reply));
		if (!str_has_prefix(reply, rows[i].reply))
			fail_msg("%s\n-> %s", rows[i].request, reply);
	}
	/* Pipelined requests are answered in order. */
	raw(rows[10].request, reply, sizeof(reply));
	assert_non_null(strstr(reply, "{\"status\":\"ok\"}"));
	EXPECT(200, "ok", .path = "/healthz");
}

/* What libmicrohttpd would refuse by itself: one reply, with a problem document. */
static void test_own_refusals(void **state)
{
	static const struct {
		const char *request;
		const char *status;
		const char *body;
	} rows[] = {
		{ "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "Host header" },
		{ "GET /healthz HTTP/9.9\r\n\r\n", "HTTP/1.1 505", "\"status\":505" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		  "HTTP/1.1 400", "grammar" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: zz\r\n\r\n", "HTTP/1.1 400",
		  "Content-Length is no number" },
		/* What follows is not taken for another request. */
		{ "POST /vms HTTP/1.1\r\nHost: x\r\ncontent-length: -5\r\n\r\nGET /healthz "
		  "HTTP/1.1\r\nHost: x\r\n\r\n",
		  "HTTP/1.1 400", "Content-Length is no number" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		  "HTTP/1.1 413", "more than 18 digits" },
		/* Another server on the way may take the field for what it looks like. */
		{ "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde",
		  "HTTP/1.1 400", "the name of a header field" },
		{ "POST /vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n"
		  "\r\n",
		  "HTTP/1.1 400", "the name of a header field" },
		{ "GET /healthz HTTP/1.1\r\nHost: x\r\nX(y): 5\r\n\r\n", "HTTP/1.1 400",
		  "the name of a header field" },
	};
	char reply[65536];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *end;

		raw(rows[i].request, reply, sizeof(reply));
		end = strstr(reply, "\r\n\r\n");
		assert_non_null(end);
		if (!str_has_prefix(reply, rows[i].status) || strstr(reply, "<html>"))
			fail_msg("%s\n-> %s", rows[i].request, reply);
		assert_non_null(strstr(reply, "application/problem+json"));
		assert_int_equal(end[4], '{');
		assert_non_null(strstr(end, rows[i].body));
		if (strstr(end + 4, "\r\n\r\n"))
			fail_msg("%s\n-> two replies: %s", rows[i].request, reply);
	}
}

static void test_tcp(void **state)
{
	(void)state;
	EXPECT(200, "ok", .path = "/healthz", .tcp = true);
	EXPECT(401, "WWW-Authenticate: Bearer", .path = "/vms", .tcp = true);
	EXPECT(401, "unauthenticated", .path = "/vms", .tcp = true,
	       .headers = { "Authorization: Bearer wrong" });
	EXPECT(401, "only bearer", .path = "/vms", .tcp = true,
	       .headers = { "Authorization: Basic eDp5" });
	EXPECT(200, "\"principal\":\"token:reader\"", .path = "/vms/web", .tcp = true,
	       .headers = { "Authorization: Bearer reader" });
	EXPECT(403, "needs scope run", .path = "/vms", .tcp = true, .body = "{}",
	       .headers = { "Authorization: Bearer reader" });
	EXPECT(201, "{}", .path = "/vms", .tcp = true, .body = "{}",
	       .headers = { "Authorization: Bearer runner" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: evil.example" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: 127.0.0.1.evil.example" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: 127.0.0.1:8420.evil.example" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: localhost:evil.example" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: localhost:8420, evil.example" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: [::1]:8420x" });
	EXPECT(403, "Host header", .path = "/healthz", .tcp = true,
	       .headers = { "Host: localhost:65536" });
	EXPECT(200, "ok", .path = "/healthz", .tcp = true, .headers = { "Host: [::1]:65535" });
	EXPECT(200, "ok", .path = "/healthz", .tcp = true, .headers = { "Host: localhost" });
	EXPECT(200, "ok", .path = "/healthz", .tcp = true, .headers = { "Host: localhost:1" });
	EXPECT(403, "Origin header", .path = "/healthz", .tcp = true,
	       .headers = { "Origin: http://evil.example" });
	EXPECT(403, "Origin header", .path = "/healthz", .tcp = true,
	       .headers = { "Origin: null" });
	EXPECT(200, "ok", .path = "/healthz", .tcp = true,
	       .headers = { "Host: localhost:1", "Origin: http://localhost:1" });
}

static void test_socket(void **state)
{
	struct http_config c = fixture_config();
	struct http_server *other = NULL;
	struct error err = ERROR_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(stat(fx.socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(http_server_new(fx.loop, &c, &other, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "in use by another server (pid "));
	assert_int_equal(stat(fx.socket_path, &st), 0);
}

static void test_stream(void **state)
{
	struct reply r;

	(void)state;
	perform(&(struct call){ .path = "/vms/web/exec",
				.body = "{\"argv\":[\"x\"]}",
				.headers = { "Accept: text/plain" } },
		&r);
	assert_int_equal(r.status, 200);
	assert_int_equal(buf_len(&r.body), STREAM_BYTES + 1);
	assert_non_null(strstr((const char *)buf_bytes(&r.headers), "Banger-Exit-Code: 7"));
	assert_int_equal(atomic_load(&fx.gone), 0);
	reply_done(&r);
}

/* A client that leaves is noticed while its request sleeps and while its stream is silent. */
static void test_gone(void **state)
{
	static const char waiting[] = "POST /vms/web/start HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char following[] = "GET /vms/web/logs HTTP/1.1\r\nHost: x\r\n\r\n";
	char byte;
	int fd = connect_unix();

	(void)state;
	assert_int_equal(send(fd, waiting, strlen(waiting), 0), strlen(waiting));
	wait_for(&fx.waiting, 1);
	(void)close(fd);
	wait_for(&fx.gone, 1);
	fd = connect_unix();
	assert_int_equal(send(fd, following, strlen(following), 0), strlen(following));
	assert_int_equal(read(fd, &byte, 1), 1);
	(void)close(fd);
	wait_for(&fx.gone, 2);
	/* One that stays is told when the server ends; teardown would leak otherwise. */
	fd = connect_unix();
	assert_int_equal(send(fd, waiting, strlen(waiting), 0), strlen(waiting));
	wait_for(&fx.waiting, 3);
	EXPECT(200, "ok", .path = "/healthz");
	(void)close(fd);
}

/* Who asked for something that there is not can ask again without a new connection. */
static void test_refusals_keep_the_connection(void **state)
{
	static const char *const refused[] = {
		"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /vms?limit=0 HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	char requests[256], reply[65536];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		(void)snprintf(requests, sizeof(requests),
			       "%sGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", refused[i]);
		raw(requests, reply, sizeof(reply));
		if (strstr(reply, "Connection: close") || !strstr(reply, "{\"status\":\"ok\"}"))
			fail_msg("%s-> %s", refused[i], reply);
	}
	/* But nobody reads a body of which it is known that nobody wants it. */
	raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", reply,
	    sizeof(reply));
	assert_non_null(strstr(reply, "Connection: close"));
	/* Nor is what may be one taken for the next request. */
	raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 28\r\n\r\n"
	    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	    reply, sizeof(reply));
	assert_non_null(strstr(reply, "Connection: close"));
	assert_null(strstr(reply, "{\"status\":\"ok\"}"));
}

static void test_many_wait(void **state)
{
	static const char request[] = "POST /vms HTTP/1.1\r\nHost: x\r\nPrefer: wait=10\r\n"
				      "Content-Length: 2\r\n\r\n{}";
	int fds[WAITERS];

	(void)state;
	for (int i = 0; i < WAITERS; i++) {
		fds[i] = connect_unix();
		assert_int_equal(send(fds[i], request, strlen(request), 0), strlen(request));
	}
	wait_for(&fx.waiting, WAITERS);
	EXPECT(200, "ok", .path = "/healthz");
	for (int i = 0; i < WAITERS; i++) {
		char reply[16] = "";

		assert_true(recv(fds[i], reply, 12, MSG_WAITALL) == 12);
		assert_string_equal(reply, "HTTP/1.1 201");
		(void)close(fds[i]);
	}
}

static void test_static_files(void **state)
{
	(void)state;
	EXPECT(200, "<p>dashboard", .path = "/", .tcp = true);
	EXPECT(200, "Content-Security-Policy: default-src 'none'", .path = "/", .tcp = true);
	EXPECT(200, "Content-Type: text/html", .path = "/index.html");
	EXPECT(200, "max-age=31536000, immutable", .path = "/assets/app-1.js");
	EXPECT(200, "plain()", .path = "/assets/app-1.js");
	EXPECT(200, "GZIP", .path = "/assets/app-1.js", .headers = { "Accept-Encoding: gzip" });
	EXPECT(200, "BROTLI", .path = "/assets/app-1.js",
	       .headers = { "Accept-Encoding: gzip, br" });
	EXPECT(200, "plain()", .path = "/assets/app-1.js",
	       .headers = { "Accept-Encoding: br;q=0, gzip;q=0" });
	EXPECT(304, "", .path = "/", .headers = { "If-None-Match: *" });
	EXPECT(404, "not_found", .path = "/assets");
	EXPECT(404, "not_found", .path = "/secret.key");
	EXPECT(404, "not_found", .path = "/link.txt");
	EXPECT(404, "not_found", .path = "/assets%2Fapp-1.js");
	EXPECT(400, "segment", .path = "/assets/../index.html");
	EXPECT(400, "segment", .path = "/%2e%2e/web/index.html");
	EXPECT(404, "not_found", .path = "/.hidden.txt");
	EXPECT(404, "not_found", .path = "/", .method = "POST", .body = "{}");
}

/* Value of a JSON string member, or of a header up to its end. */
static void part_of(const struct reply *r, const char *before, const char *ends, char *buf,
		    size_t size)
{
	const char *text = strstr((const char *)buf_bytes(&r->body), before);

	if (!text)
		text = strstr((const char *)buf_bytes(&r->headers), before);
	assert_non_null(text);
	text += strlen(before);
	(void)snprintf(buf, size, "%.*s", (int)strcspn(text, ends), text);
}

/* One link, one login; the cookie then counts, but not for a foreign page. */
static void test_login(void **state)
{
	struct reply r;
	char path[256];
	char cookie[300] = "Cookie: ";
	char origin[100];
	char url[64];

	(void)state;
	EXPECT(401, "unauthenticated", .path = "/logins", .method = "POST", .tcp = true);
	perform(&(struct call){ .path = "/logins", .method = "POST" }, &r);
	assert_int_equal(r.status, 201);
	(void)snprintf(url, sizeof(url), "\"url\":\"http://127.0.0.1:%u",
		       http_server_port(fx.server));
	part_of(&r, url, "\"", path, sizeof(path));
	reply_done(&r);

	perform(&(struct call){ .path = path, .tcp = true }, &r);
	assert_int_equal(r.status, 303);
	assert_non_null(strstr((const char *)buf_bytes(&r.headers), "HttpOnly; SameSite=Strict"));
	part_of(&r, "Set-Cookie: ", ";", cookie + 8, sizeof(cookie) - 8);
	reply_done(&r);

	EXPECT(401, "has been used", .path = path, .tcp = true);
	EXPECT(401, "has been used",
	       .path = "/login?ticket=000000000000000000000000000000000000"
		       "000000000000",
	       .tcp = true);
	EXPECT(200, "\"principal\":\"token:runner\",\"scope\":\"run\",\"cookie\":true",
	       .path = "/session", .tcp = true, .headers = { cookie });
	EXPECT(200, "\"scope\":\"admin\",\"cookie\":false", .path = "/session");
	EXPECT(401, "needs a token", .path = "/session", .tcp = true,
	       .headers = { "Cookie: banger_session_1=runner" });
	(void)snprintf(origin, sizeof(origin), "Origin: http://127.0.0.1:%u",
		       http_server_port(fx.server));
	EXPECT(201, "{}", .path = "/vms", .body = "{}", .tcp = true,
	       .headers = { cookie, origin, "Content-Type: application/json" });
	EXPECT(403, "needs the Origin header", .path = "/vms", .body = "{}", .tcp = true,
	       .headers = { cookie, "Content-Type: application/json" });
	EXPECT(403, "needs the Origin header", .path = "/session", .tcp = true,
	       .headers = { cookie, "Connection: Upgrade", "Upgrade: websocket" });
	EXPECT(200, "\"cookie\":true", .path = "/session", .tcp = true,
	       .headers = { cookie, origin, "Connection: Upgrade", "Upgrade: websocket" });
	EXPECT(403, "another site", .path = "/vms", .body = "{}", .tcp = true,
	       .headers = { cookie, "Origin: http://127.0.0.1:1",
			    "Content-Type: application/json" });
	EXPECT(415, "urlencoded", .path = "/vms", .body = "{}", .tcp = true,
	       .headers = { cookie, origin });
	EXPECT(204, "Max-Age=0", .path = "/session", .method = "DELETE", .tcp = true,
	       .headers = { cookie, origin });
}

/* What must match one to one stops the start. */
static void test_unbound(void **state)
{
	struct http_config c = fixture_config();
	struct http_server *server = NULL;
	struct error err = ERROR_INIT;
	struct loop *loop = NULL;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	c.partial = false;
	assert_true(http_server_new(loop, &c, &server, &err) < 0);
	assert_non_null(strstr(err.msg, "has no handler"));
	loop_free(loop);
}

/* For the one path, once, with the rights of who asked for it. */
static void test_ticket(void **state)
{
	const char *auth = "Authorization: Bearer reader";
	struct reply r;
	const char *at;
	char ticket[49];
	char path[200];

	(void)state;
	EXPECT(401, "unauthenticated", .path = "/tickets", .method = "POST",
	       .body = "{\"path\":\"/vms/web/logs\"}", .tcp = true);
	for (int wrong = 0; wrong < 2; wrong++) {
		perform(&(struct call){ .path = "/tickets",
					.body = "{\"path\":\"/vms/web/logs\"}",
					.headers = { auth },
					.tcp = true },
			&r);
		assert_int_equal(r.status, 201);
		at = strstr((const char *)buf_bytes(&r.body), "\"ticket\":\"");
		assert_non_null(at);
		(void)snprintf(ticket, sizeof(ticket), "%s", at + strlen("\"ticket\":\""));
		(void)snprintf(path, sizeof(path), "/vms/%s/logs?ticket=%s",
			       wrong ? "other" : "web", ticket);
		reply_done(&r);
		if (wrong) {
			EXPECT(401, "ticket", .path = path, .tcp = true);
		} else {
			int fd = connect_tcp();
			char text[400];
			ssize_t n;

			(void)snprintf(text, sizeof(text),
				       "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
			assert_true(send(fd, text, strlen(text), MSG_NOSIGNAL) > 0);
			n = recv(fd, text, 12, MSG_WAITALL);
			assert_int_equal(n, 12);
			assert_memory_equal(text, "HTTP/1.1 200", 12);
			wait_for(&fx.waiting, 1);
			close(fd);
		}
		/* Used up, also by a try at the wrong place. */
		(void)snprintf(path, sizeof(path), "/vms/web/logs?ticket=%s", ticket);
		EXPECT(401, "ticket", .path = path, .tcp = true);
	}
	/* Elsewhere it means nothing. */
	EXPECT(401, "unauthenticated", .path = "/vms/web?ticket=x", .tcp = true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replies, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bodies, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_framing, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_tcp, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_socket, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_stream, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refusals_keep_the_connection, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_many_wait, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_static_files, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_login, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_own_refusals, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ticket, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unbound, fixture_setup, fixture_teardown),
	};

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
