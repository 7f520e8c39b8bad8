/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/http/fixture.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/base/fs.h"

struct fixture fx;

static enum http_scope check_token(void *context, const char *token, char *principal, size_t size)
{
	(void)context;
	(void)snprintf(principal, size, "token:%s", token);
	if (streq(token, "reader"))
		return HTTP_SCOPE_READ;
	return streq(token, "runner") ? HTTP_SCOPE_RUN : HTTP_SCOPE_NONE;
}

static int issue_session(void *context, enum http_scope scope, int life_s, char *token, size_t size,
			 struct error *err)
{
	(void)context;
	(void)err;
	assert_true(life_s > 0);
	(void)snprintf(token, size, "%s", scope == HTTP_SCOPE_READ ? "reader" : "runner");
	return 0;
}

static void *run_loop(void *data)
{
	(void)data;
	assert_int_equal(loop_run(fx.loop), 0);
	return NULL;
}

struct http_config fixture_config(void)
{
	return (struct http_config){
		.socket_path = fx.socket_path,
		.tcp_host = "127.0.0.1",
		.check_token = check_token,
		.issue_session = issue_session,
		.web_root = fx.web_root,
		.handlers = test_handlers,
		.n_handlers = test_handlers_n,
		.document = test_document,
		.replays = test_replays.find ? &test_replays : NULL,
		.partial = true,
	};
}

static void make_web_root(void)
{
	autoclose int dir = open_dir_create(fx.web_root, 0700);
	autoclose int assets = open_subdir(dir, "assets", 0700);

	assert_int_equal(write_file_at(dir, "index.html", "<p>dashboard", 12, 0600), 0);
	assert_int_equal(write_file_at(dir, "secret.key", "key", 3, 0600), 0);
	assert_int_equal(write_file_at(assets, "app-1.js", "plain()", 7, 0600), 0);
	assert_int_equal(write_file_at(assets, "app-1.js.br", "BROTLI", 6, 0600), 0);
	assert_int_equal(write_file_at(assets, "app-1.js.gz", "GZIP", 4, 0600), 0);
	assert_int_equal(symlinkat("/etc/passwd", dir, "link.txt"), 0);
}

int fixture_setup(void **state)
{
	struct http_config c;
	struct error err = ERROR_INIT;

	(void)state;
	atomic_store(&fx.gone, 0);
	atomic_store(&fx.waiting, 0);
	(void)snprintf(fx.dir, sizeof(fx.dir), "/tmp/banger-http-XXXXXX");
	assert_non_null(mkdtemp(fx.dir));
	(void)snprintf(fx.socket_path, sizeof(fx.socket_path), "%s/s", fx.dir);
	assert_int_equal(loop_new(&fx.loop), 0);
	(void)snprintf(fx.web_root, sizeof(fx.web_root), "%s/web", fx.dir);
	make_web_root();
	c = fixture_config();
	if (http_server_new(fx.loop, &c, &fx.server, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(pthread_create(&fx.thread, NULL, run_loop, NULL), 0);
	return 0;
}

int fixture_teardown(void **state)
{
	(void)state;
	loop_stop(fx.loop);
	assert_int_equal(pthread_join(fx.thread, NULL), 0);
	http_server_free(fx.server);
	loop_free(fx.loop);
	assert_int_equal(access(fx.socket_path, F_OK), -1);
	assert_int_equal(remove_tree_at(AT_FDCWD, fx.web_root), 0);
	/* Nothing of ours is left. */
	assert_int_equal(rmdir(fx.dir), 0);
	return 0;
}

void wait_for(atomic_int *counter, int want)
{
	for (int i = 0; i < 10000 && atomic_load(counter) != want; i++)
		(void)usleep(1000);
	assert_int_equal(atomic_load(counter), want);
}

static size_t take(char *data, size_t size, size_t n, void *to)
{
	return buf_append(to, data, size * n) < 0 ? 0 : size * n;
}

void reply_done(struct reply *r)
{
	buf_done(&r->body);
	buf_done(&r->headers);
}

static CURL *prepare(const struct call *call, struct reply *r, struct curl_slist **ret_headers)
{
	CURL *curl = curl_easy_init();
	char url[2048];

	*r = (struct reply){ 0 };
	buf_init(&r->body, REPLY_MAX);
	buf_init(&r->headers, REPLY_MAX);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(fx.server),
		       call->path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	if (!call->tcp)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, fx.socket_path);
	if (call->method)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
	if (call->body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
	for (size_t i = 0; i < ARRAY_SIZE(call->headers) && call->headers[i]; i++)
		*ret_headers = curl_slist_append(*ret_headers, call->headers[i]);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *ret_headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &r->body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &r->headers);
	return curl;
}

void perform(const struct call *call, struct reply *r)
{
	struct curl_slist *headers = NULL;
	CURL *curl = prepare(call, r, &headers);
	CURLcode code = curl_easy_perform(curl);

	if (code != CURLE_OK)
		fail_msg("%s: %s", call->path, curl_easy_strerror(code));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
	assert_int_equal(buf_append(&r->body, "", 1), 0);
	assert_int_equal(buf_append(&r->headers, "", 1), 0);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
}

void expect(const struct call *call, long status, const char *part)
{
	struct reply r;
	const char *body;
	const char *headers;

	perform(call, &r);
	body = (const char *)buf_bytes(&r.body);
	headers = (const char *)buf_bytes(&r.headers);
	if (r.status != status || (!strstr(body, part) && !strstr(headers, part)))
		fail_msg("%s: %ld, not %ld with \"%s\": %s\n%s", call->path, r.status, status, part,
			 headers, body);
	reply_done(&r);
}

int connect_tcp(void)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(http_server_port(fx.server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

int connect_unix(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, fx.socket_path, strlen(fx.socket_path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

void raw(const char *request, char *reply, size_t size)
{
	autoclose int fd = connect_unix();
	size_t len = 0;

	(void)send(fd, request, strlen(request), MSG_NOSIGNAL);
	while (len + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, len ? 200 : 10000) <= 0)
			break;
		n = read(fd, reply + len, size - len - 1);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	reply[len] = '\0';
}
