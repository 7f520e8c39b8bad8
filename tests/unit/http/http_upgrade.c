/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads, tunnels and WebSockets, on a small document of the test's own. */
#include <poll.h>
#include <sys/socket.h>

#include "tests/unit/http/fixture.h"

enum { UPLOAD_BYTES = 5 * 1024 * 1024, ECHO_BYTES = 3 * 1024 * 1024 };

const struct http_replays test_replays = { 0 };
const char *const test_document =
	"{\"paths\":{"
	"\"/files/{path}\":{\"put\":{\"operationId\":\"put\",\"x-banger-scope\":\"run\","
	"\"x-banger-body-limit\":6000000,\"requestBody\":{\"content\":{\"application/"
	"octet-stream\":"
	"{}}},\"parameters\":[{\"name\":\"path\",\"in\":\"path\",\"x-banger-rest\":true,\"schema\":"
	"{\"type\":\"string\"}}],\"responses\":{\"default\":{}}}},"
	"\"/"
	"tunnel\":{\"get\":{\"operationId\":\"tunnel\",\"x-banger-scope\":\"run\",\"responses\":{"
	"\"default\":{}}}},"
	"\"/ws\":{\"get\":{\"operationId\":\"ws\",\"x-banger-scope\":\"run\",\"responses\":{"
	"\"default\":{}}}},"
	"\"/healthz\":{\"get\":{\"operationId\":\"healthz\",\"x-banger-scope\":\"none\","
	"\"responses\":{\"default\":{}}}}"
	"}}";

/* --- handlers --- */

static void get_health(struct http_request *req, void *context)
{
	(void)context;
	http_reply_json(req, 200, json_pack("{s:s}", "status", "ok"));
}

/* Takes a little at a time, with pauses, as a slow guest does. */
static struct upload {
	struct http_request *req;
	struct loop_timer *timer;
	size_t taken;
	unsigned int sum;
	unsigned int calls;
} up;

static atomic_int upload_calls; /* of all uploads */

static void upload_over(void)
{
	loop_timer_free(up.timer);
	up.timer = NULL;
}

static void upload_wake(void *data)
{
	(void)data;
	http_upload_resume(up.req);
}

static size_t upload_data(void *data, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t n = len > 30000 ? 30000 : len;

	(void)data;
	(void)atomic_fetch_add(&upload_calls, 1);
	if (++up.calls % 3 == 0) {
		loop_timer_set(up.timer, 1000);
		n /= 2;
	}
	if (n == len && up.calls % 3 == 0)
		n = len - 1;
	for (size_t i = 0; i < n; i++)
		up.sum += p[i];
	up.taken += n;
	if (n < len)
		loop_timer_set(up.timer, 0);
	return n;
}

static void upload_end(void *data)
{
	(void)data;
	upload_over();
	http_reply_json(
		up.req, 200,
		json_pack("{s:I, s:I}", "bytes", (json_int_t)up.taken, "sum", (json_int_t)up.sum));
}

static void upload_gone(void *data)
{
	(void)data;
	upload_over();
	atomic_fetch_add(&fx.gone, 1);
}

/* Refuses in the middle, as a full disk would. */
static size_t upload_fail(void *data, const void *bytes, size_t len)
{
	struct error err = ERROR_INIT;

	(void)data;
	(void)bytes;
	(void)error_set(&err, ERR_NO_ROOM, "the disk is full");
	http_reply_error(up.req, &err, NULL);
	return len;
}

static const struct http_upload_callbacks upload_callbacks = { upload_data, upload_end,
							       upload_gone };
static const struct http_upload_callbacks failing_callbacks = { upload_fail, upload_end,
								upload_gone };

static void put_file(struct http_request *req, void *context)
{
	struct error err = ERROR_INIT;

	(void)context;
	if (streq(http_param(req, "path"), "no/such")) {
		(void)error_set(&err, ERR_NOT_FOUND, "no such file");
		http_reply_error(req, &err, NULL);
		return;
	}
	up = (struct upload){ .req = req };
	if (streq(http_param(req, "path"), "full")) {
		http_upload_begin(req, &failing_callbacks, NULL);
		return;
	}
	assert_int_equal(loop_timer_new(fx.loop, upload_wake, NULL, &up.timer), 0);
	http_upload_begin(req, &upload_callbacks, NULL);
}

/* Echoes, never with more in memory than the tunnel's buffer. */
static struct tunnel {
	struct http_tunnel *tunnel;
	struct buf waiting;
	bool ended;
} tun;

static void tunnel_push(void)
{
	size_t n = buf_len(&tun.waiting);

	if (n > http_tunnel_room(tun.tunnel))
		n = http_tunnel_room(tun.tunnel);
	if (n > 0 && http_tunnel_write(tun.tunnel, buf_bytes(&tun.waiting), n) == 0)
		buf_consume(&tun.waiting, n);
	http_tunnel_pause(tun.tunnel, buf_len(&tun.waiting) > 0);
	if (tun.ended && buf_len(&tun.waiting) == 0) {
		buf_done(&tun.waiting);
		http_tunnel_close(tun.tunnel);
		atomic_fetch_add(&fx.waiting, 1);
	}
}

static void tunnel_data(void *data, const void *bytes, size_t len)
{
	(void)data;
	assert_int_equal(buf_append(&tun.waiting, bytes, len), 0);
	tunnel_push();
}

static void tunnel_end(void *data)
{
	(void)data;
	tun.ended = true;
	tunnel_push();
}

static void tunnel_drained(void *data)
{
	(void)data;
	tunnel_push();
}

static void tunnel_gone(void *data)
{
	(void)data;
	buf_done(&tun.waiting);
	atomic_fetch_add(&fx.gone, 1);
}

static const struct http_tunnel_callbacks tunnel_callbacks = { tunnel_data, tunnel_end,
							       tunnel_drained, NULL, tunnel_gone };

static void get_tunnel(struct http_request *req, void *context)
{
	(void)context;
	buf_init(&tun.waiting, 1024 * 1024);
	tun.ended = false;
	tun.tunnel = http_tunnel_begin(req, "banger-tunnel", &tunnel_callbacks, NULL);
	assert_int_equal(http_tunnel_write(tun.tunnel, "hello ", 6), 0);
}

static struct http_ws *ws;

static void ws_message(void *data, bool text, const void *bytes, size_t len)
{
	(void)data;
	if (len == 4 && memcmp(bytes, "quit", 4) == 0) {
		http_ws_close(ws, 1000, "as you wish");
		return;
	}
	assert_int_equal(http_ws_send(ws, text, bytes, len), 0);
}

static void ws_gone(void *data)
{
	(void)data;
	atomic_fetch_add(&fx.gone, 1);
}

static const struct http_ws_callbacks ws_callbacks = { .message = ws_message, .gone = ws_gone };

static void get_ws(struct http_request *req, void *context)
{
	(void)context;
	ws = http_ws_accept(req, &ws_callbacks, NULL);
}

const struct http_handler test_handlers[] = {
	{ "healthz", get_health },
	{ "put", put_file },
	{ "tunnel", get_tunnel },
	{ "ws", get_ws },
};
const size_t test_handlers_n = ARRAY_SIZE(test_handlers);

/* --- uploads --- */

static void upload(const char *headers)
{
	autofree char *body = malloc(UPLOAD_BYTES + 1);
	char want[64];
	unsigned int sum = 0;

	for (size_t i = 0; i < UPLOAD_BYTES; i++) {
		body[i] = (char)('a' + i % 23);
		sum += (unsigned char)body[i];
	}
	body[UPLOAD_BYTES] = '\0';
	(void)snprintf(want, sizeof(want), "{\"bytes\":%d,\"sum\":%u}", UPLOAD_BYTES, sum);
	EXPECT(200, want, .path = "/files/a/b.bin", .method = "PUT", .body = body,
	       .headers = { headers, "Content-Type: application/octet-stream" });
}

static void test_upload(void **state)
{
	(void)state;
	upload("X-Nothing: 1");
	upload("Transfer-Encoding: chunked");
	EXPECT(200, "{\"bytes\":0,\"sum\":0}", .path = "/files/empty", .method = "PUT", .body = "");
	assert_int_equal(atomic_load(&fx.gone), 0);
}

static void test_upload_refused(void **state)
{
	autofree char *body = malloc(6000002);

	(void)state;
	memset(body, 'x', 6000001);
	body[6000001] = '\0';
	EXPECT(404, "no such file", .path = "/files/no/such", .method = "PUT", .body = "hello");
	EXPECT(413, "too_large", .path = "/files/x", .method = "PUT", .body = body);
	EXPECT(413, "too_large", .path = "/files/x", .method = "PUT", .body = body,
	       .headers = { "Transfer-Encoding: chunked" });
	assert_int_equal(atomic_load(&fx.gone), 1);
	body[5000000] = '\0';
	EXPECT(507, "the disk is full", .path = "/files/full", .method = "PUT", .body = body,
	       .headers = { "Expect:" });
}

static void test_upload_gone(void **state)
{
	static const char request[] =
		"PUT /files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc";
	int before = atomic_load(&upload_calls);
	int fd = connect_unix();

	(void)state;
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	wait_for(&upload_calls, before + 1);
	(void)close(fd);
	wait_for(&fx.gone, 1);
	EXPECT(200, "ok", .path = "/healthz");
}

/* --- upgrades --- */

static void read_until(int fd, const char *end, char *buf, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(read(fd, buf + len, 1), 1);
		buf[++len] = '\0';
		if (len >= strlen(end) && streq(buf + len - strlen(end), end))
			return;
	}
	fail_msg("no %s in %s", end, buf);
}

/* Writes and reads at once: neither side may hold everything. */
static void echo_all(int fd, size_t total)
{
	size_t sent = 0;
	size_t got = 0;
	char block[20000];

	while (got < total) {
		struct pollfd p = { .fd = fd,
				    .events = (short)(POLLIN | (sent < total ? POLLOUT : 0)) };

		assert_int_equal(poll(&p, 1, 10000), 1);
		if (p.revents & POLLOUT) {
			size_t n = total - sent < sizeof(block) ? total - sent : sizeof(block);
			ssize_t r;

			for (size_t i = 0; i < n; i++)
				block[i] = (char)((sent + i) % 251);
			r = send(fd, block, n, MSG_DONTWAIT | MSG_NOSIGNAL);
			sent += r > 0 ? (size_t)r : 0;
			if (sent == total)
				assert_int_equal(shutdown(fd, SHUT_WR), 0);
		}
		if (p.revents & POLLIN) {
			ssize_t r = read(fd, block, sizeof(block));

			assert_true(r > 0);
			for (ssize_t i = 0; i < r; i++)
				assert_int_equal(block[i], (char)((got + (size_t)i) % 251));
			got += (size_t)r;
		}
	}
	assert_int_equal(read(fd, block, 1), 0);
}

static void test_tunnel(void **state)
{
	static const char request[] = "GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
				      "Upgrade: banger-tunnel\r\n\r\n";
	char reply[1024];
	int fd = connect_unix();

	(void)state;
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	read_until(fd, "\r\n\r\nhello ", reply, sizeof(reply));
	assert_true(str_has_prefix(reply, "HTTP/1.1 101"));
	echo_all(fd, ECHO_BYTES);
	(void)close(fd);
	wait_for(&fx.waiting, 1);
	assert_int_equal(atomic_load(&fx.gone), 0);
	/* One that is lost, and one that is open while the server ends. */
	fd = connect_unix();
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	read_until(fd, "\r\n\r\nhello ", reply, sizeof(reply));
	(void)close(fd);
	wait_for(&fx.waiting, 2);
	fd = connect_unix();
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	read_until(fd, "\r\n\r\nhello ", reply, sizeof(reply));
	EXPECT(200, "ok", .path = "/healthz");
}

#define WS_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static int ws_connect(void)
{
	static const char request[] =
		"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" WS_KEY "\r\n";
	char reply[1024];
	int fd = connect_unix();

	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	read_until(fd, "\r\n\r\n", reply, sizeof(reply));
	assert_true(str_has_prefix(reply, "HTTP/1.1 101"));
	assert_non_null(strstr(reply, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	return fd;
}

/* A masked frame, as clients must send; the mask is zero. */
static void ws_send(int fd, unsigned char opcode, const char *text)
{
	unsigned char frame[140] = { (unsigned char)(0x80 | opcode),
				     (unsigned char)(0x80 | strlen(text)) };

	memcpy(frame + 6, text, strlen(text));
	assert_int_equal(send(fd, frame, 6 + strlen(text), MSG_NOSIGNAL), 6 + strlen(text));
}

static void ws_expect(int fd, unsigned char opcode, const char *payload, size_t len)
{
	unsigned char frame[200];

	assert_int_equal(recv(fd, frame, 2 + len, MSG_WAITALL), 2 + len);
	assert_int_equal(frame[0], 0x80 | opcode);
	assert_int_equal(frame[1], len);
	assert_memory_equal(frame + 2, payload, len);
}

static void test_ws(void **state)
{
	char byte;
	int fd = ws_connect();

	(void)state;
	ws_send(fd, 1, "hello");
	ws_expect(fd, 1, "hello", 5);
	ws_send(fd, 2, "\x01\x02");
	ws_expect(fd, 2, "\x01\x02", 2);
	ws_send(fd, 9, "ping");
	ws_expect(fd, 10, "ping", 4);
	ws_send(fd, 1, "quit");
	ws_expect(fd, 8,
		  "\x03\xe8"
		  "as you wish",
		  13);
	assert_int_equal(read(fd, &byte, 1), 0);
	(void)close(fd);
	assert_int_equal(atomic_load(&fx.gone), 0);

	fd = ws_connect();
	ws_send(fd, 8, "\x03\xe8");
	wait_for(&fx.gone, 1);
	(void)close(fd);
	fd = ws_connect();
	(void)close(fd);
	wait_for(&fx.gone, 2);
	/* Bytes that are not UTF-8 in a text message end it with 1007. */
	fd = ws_connect();
	ws_send(fd, 1, "\xff");
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, (char)0x88);
	wait_for(&fx.gone, 3);
	(void)close(fd);
	(void)ws_connect();
}

static void test_ws_refused(void **state)
{
	(void)state;
	EXPECT(400, "WebSocket handshake", .path = "/ws");
	EXPECT(400, "version", .path = "/ws",
	       .headers = { "Connection: Upgrade", "Upgrade: websocket" });
	EXPECT(400, "Sec-WebSocket-Key", .path = "/ws",
	       .headers = { "Connection: Upgrade", "Upgrade: websocket",
			    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_upload, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_upload_refused, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_upload_gone, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_tunnel, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ws, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ws_refused, fixture_setup, fixture_teardown),
	};

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
