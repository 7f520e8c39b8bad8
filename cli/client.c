/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

/* For the word that a request's body is wanted: a server that does not say it gets the body late.
 */
enum { GO_AHEAD_MS = 10 * 1000 };

struct client {
	CURLM *multi;
	char *address;       /* as given, for messages */
	char *socket;        /* NULL for TCP */
	char *base;          /* "http://localhost" */
	char *authorization; /* header line or NULL */
	int signal_fd;
	int signal;
};

/* One request under way. */
struct transfer {
	struct client *client;
	const struct client_request *request;
	struct client_reply *reply;
	struct error *err;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	struct buf received;
	int refused; /* errno of a request->on_data that wants no more */
	char content_type[64];
	char problem[CURL_ERROR_SIZE];
};

void client_reply_done(struct client_reply *reply)
{
	json_decref(reply->json);
	free(reply->text);
	*reply = (struct client_reply){ 0 };
}

static int watch_signals(struct client *client, struct error *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGQUIT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_errno(err, -errno, "block signals");
	client->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (client->signal_fd < 0)
		return error_errno(err, -errno, "watch signals");
	return 0;
}

static int set_address(struct client *client, const char *address, struct error *err)
{
	size_t len;

	client->address = strdup(address);
	if (str_has_prefix(address, "unix:"))
		address += strlen("unix:");
	if (address[0] == '/' || address[0] == '.') {
		client->socket = strdup(address);
		client->base = strdup("http://localhost");
	} else if (str_has_prefix(address, "http://") || str_has_prefix(address, "https://")) {
		len = strlen(address);
		client->base = strndup(address, address[len - 1] == '/' ? len - 1 : len);
	} else {
		return error_set(err, ERR_BAD_REQUEST,
				 "server address '%s' is neither a socket's path nor http://…",
				 address);
	}
	if (!client->address || !client->base || (address[0] == '/' && !client->socket))
		return error_errno(err, -ENOMEM, "client");
	return 0;
}

static void client_free_p(struct client **client)
{
	client_free(*client);
}

/* Without the watch on signals. `authorization` is the whole line. */
static int client_make(const char *address, const char *authorization, struct client **ret_client,
		       struct error *err)
{
	struct client *client = NULL;
	int r;

	/* client_free() undoes it, so it comes before the client. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(err, ERR_INTERNAL, "libcurl can't be set up");
	client = calloc(1, sizeof(*client));
	if (!client) {
		curl_global_cleanup();
		return error_errno(err, -ENOMEM, "client");
	}
	client->signal_fd = -1;
	r = set_address(client, address, err);
	if (r == 0 && authorization) {
		client->authorization = strdup(authorization);
		if (!client->authorization)
			r = error_errno(err, -ENOMEM, "client");
	}
	if (r == 0) {
		client->multi = curl_multi_init();
		if (!client->multi)
			r = error_errno(err, -ENOMEM, "client");
	}
	if (r < 0) {
		client_free(client);
		return r;
	}
	*ret_client = client;
	return 0;
}

int client_new(const char *address, const char *token, struct client **ret_client,
	       struct error *err)
{
	struct client *client CLEANUP(client_free_p)
	= NULL;
	autofree char *authorization = NULL;
	int r;

	if (token && asprintf(&authorization, "Authorization: Bearer %s", token) < 0)
		return error_errno(err, -ENOMEM, "client");
	r = client_make(address, authorization, &client, err);
	if (r == 0)
		r = watch_signals(client, err);
	if (r < 0)
		return r;
	*ret_client = TAKE_PTR(client);
	return 0;
}

int client_new_quiet(const struct client *like, struct client **ret_client, struct error *err)
{
	return client_make(like->address, like->authorization, ret_client, err);
}

void client_free(struct client *client)
{
	if (!client)
		return;
	if (client->multi)
		(void)curl_multi_cleanup(client->multi);
	close_keep_errno(client->signal_fd);
	free(client->address);
	free(client->socket);
	free(client->base);
	free(client->authorization);
	free(client);
	curl_global_cleanup();
}

const char *client_address(const struct client *client)
{
	return client->address;
}

int client_signal(const struct client *client)
{
	return client->signal;
}

int client_signal_fd(const struct client *client)
{
	return client->signal_fd;
}

const char *client_host(const struct client *client)
{
	return strstr(client->base, "//") + 2;
}

const char *client_authorization(const struct client *client)
{
	return client->authorization;
}

/* Why no connection came about: three causes, three ways to mend them. err->sys is the errno. */
static int say_unreachable(const struct client *client, CURL *easy, struct error *err)
{
	long cause = 0;
	int r;

	(void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &cause);
	if (client->socket && cause == EACCES)
		r = error_set(err, ERR_UNAVAILABLE, "you may not use the server's socket %s: %s",
			      client->address, strerrordesc_np(EACCES));
	else if (client->socket && cause == ENOENT)
		r = error_set(err, ERR_UNAVAILABLE,
			      "no server answers at %s: there is no such socket", client->address);
	else if (client->socket && cause == ECONNREFUSED)
		r = error_set(err, ERR_UNAVAILABLE,
			      "no server answers at %s: the one that made the socket has ended",
			      client->address);
	else
		r = error_set(err, ERR_UNAVAILABLE, "no server answers at %s", client->address);
	err->sys = (int)cause;
	return r;
}

int client_connect(struct client *client, int *ret_fd, struct error *err)
{
	CURL *easy = curl_easy_init();
	curl_socket_t fd = CURL_SOCKET_BAD;
	int flags;
	int r = 0;

	if (!easy)
		return error_errno(err, -ENOMEM, "connection");
	(void)curl_easy_setopt(easy, CURLOPT_URL, client->base);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	if (client->socket)
		(void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	if (!str_has_prefix(client->base, "http://"))
		r = error_set(err, ERR_UNSUPPORTED, "only http:// addresses and sockets will do");
	else if (curl_easy_perform(easy) != CURLE_OK ||
		 curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
		r = say_unreachable(client, easy, err);
	/* libcurl closes its own. */
	if (r == 0) {
		*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		flags = *ret_fd < 0 ? -1 : fcntl(*ret_fd, F_GETFL);
		if (flags < 0 || fcntl(*ret_fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
			r = error_errno(err, -errno, "connection");
	}
	curl_easy_cleanup(easy);
	return r;
}

static bool take_signal(struct client *client)
{
	struct signalfd_siginfo info;

	if (read(client->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	client->signal = (int)info.ssi_signo;
	return true;
}

int client_sleep_ms(struct client *client, int ms)
{
	struct pollfd pfd = { .fd = client->signal_fd, .events = POLLIN };

	if (poll(&pfd, 1, ms) > 0 && take_signal(client))
		return -ECANCELED;
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
	struct transfer *t = data;
	size_t len = size * n;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->request->on_data && status >= 200 && status < 300) {
		int r = t->request->on_data(t->request->data, bytes, len);

		t->refused = r < 0 ? -r : 0;
		return r < 0 ? 0 : len;
	}
	return buf_append(&t->received, bytes, len) < 0 ? 0 : len;
}

/* The value of a header line when it is `name`, without blanks around it. */
static bool header_value(const char *line, size_t len, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	len -= n + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	(void)snprintf(value, size, "%.*s", (int)len, line);
	return true;
}

static size_t on_upload(char *to, size_t size, size_t n, void *data)
{
	struct transfer *t = data;
	ssize_t len = t->request->on_read(t->request->read_data, to, size * n);

	return len < 0 ? CURL_READFUNC_ABORT : (size_t)len;
}

/* Trailers arrive here too. */
static size_t on_header(char *line, size_t size, size_t n, void *data)
{
	struct transfer *t = data;
	char value[64];

	if (header_value(line, size * n, "Banger-Exit-Code", value, sizeof(value)))
		t->reply->exit_code = (int)strtol(value, NULL, 10);
	(void)header_value(line, size * n, "Banger-File-Type", t->reply->file_type,
			   sizeof(t->reply->file_type));
	(void)header_value(line, size * n, "Banger-File-Mode", t->reply->file_mode,
			   sizeof(t->reply->file_mode));
	(void)header_value(line, size * n, "Location", t->reply->location,
			   sizeof(t->reply->location));
	(void)header_value(line, size * n, "Content-Type", t->content_type,
			   sizeof(t->content_type));
	return size * n;
}

static int add_header(struct transfer *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);

	if (!list)
		return -ENOMEM;
	t->headers = list;
	return 0;
}

static int add_headers(struct transfer *t)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "Accept: %s, application/problem+json",
		       t->request->accept ? t->request->accept : "application/json");
	if (add_header(t, line) < 0)
		return -ENOMEM;
	if (t->request->wait_s) {
		(void)snprintf(line, sizeof(line), "Prefer: wait=%d", t->request->wait_s);
		if (add_header(t, line) < 0)
			return -ENOMEM;
	}
	if (t->body && add_header(t, "Content-Type: application/json") < 0)
		return -ENOMEM;
	if (t->request->on_read) {
		(void)snprintf(line, sizeof(line), "Content-Type: %s", t->request->content_type);
		/* Where it is refused nothing is sent: the reply could be lost behind it. */
		if (add_header(t, line) < 0 || add_header(t, "Expect: 100-continue") < 0)
			return -ENOMEM;
	}
	if (t->body && add_header(t, "Expect:") < 0)
		return -ENOMEM;
	if (t->client->authorization && add_header(t, t->client->authorization) < 0)
		return -ENOMEM;
	return 0;
}

static void set_options(struct transfer *t, const char *url)
{
	const struct client_request *request = t->request;
	CURL *easy = t->easy;

	(void)curl_easy_setopt(easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	if (t->client->socket)
		(void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, t->client->socket);
	/* No proxy and no .netrc come between us and the server. */
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (streq(request->method, "HEAD"))
		(void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (request->on_read) {
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)GO_AHEAD_MS);
		(void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
		(void)curl_easy_setopt(easy, CURLOPT_READDATA, t);
		(void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->length);
	} else if (t->body)
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body);
	else if (streq(request->method, "POST"))
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->problem);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 1000L * request->timeout_s);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
}

static int transfer_start(struct transfer *t)
{
	autofree char *url = NULL;

	t->reply->exit_code = -1;
	buf_init(&t->received, CLIENT_BODY_MAX);
	t->easy = curl_easy_init();
	if (t->request->body)
		t->body = json_text(t->request->body);
	if (!t->easy || (t->request->body && !t->body) || add_headers(t) < 0 ||
	    asprintf(&url, "%s%s", t->client->base, t->request->path) < 0)
		return error_errno(t->err, -ENOMEM, "request");
	set_options(t, url);
	if (curl_multi_add_handle(t->client->multi, t->easy) != CURLM_OK)
		return error_set(t->err, ERR_INTERNAL, "libcurl takes no more requests");
	return 0;
}

static int keep_body(struct transfer *t)
{
	if (buf_append(&t->received, "", 1) < 0)
		return error_errno(t->err, -ENOMEM, "reply");
	t->reply->text_len = buf_len(&t->received) - 1;
	t->reply->text = malloc(t->reply->text_len + 1);
	if (!t->reply->text)
		return error_errno(t->err, -ENOMEM, "reply");
	memcpy(t->reply->text, buf_bytes(&t->received), t->reply->text_len + 1);
	if (str_has_prefix(t->content_type, "application/json") ||
	    str_has_prefix(t->content_type, "application/problem+json"))
		t->reply->json = json_loadb(t->reply->text, t->reply->text_len, 0, NULL);
	return 0;
}

static void transfer_end(struct transfer *t, CURLcode code)
{
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	t->reply->status = (int)status;
	if (code == CURLE_OK)
		(void)keep_body(t);
	else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		(void)say_unreachable(t->client, t->easy, t->err);
	else if (code == CURLE_WRITE_ERROR && t->refused)
		(void)error_errno(t->err, -t->refused, "the reply of %s %s could not be taken",
				  t->request->method, t->request->path);
	else if (code == CURLE_WRITE_ERROR)
		(void)error_set(t->err, ERR_INTERNAL, "the reply of %s %s could not be taken",
				t->request->method, t->request->path);
	else
		(void)error_set(t->err, ERR_UPSTREAM, "%s %s: %s", t->request->method,
				t->request->path,
				t->problem[0] ? t->problem : curl_easy_strerror(code));
}

static void transfer_done(struct transfer *t)
{
	if (t->easy) {
		(void)curl_multi_remove_handle(t->client->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	free(t->body);
	buf_done(&t->received);
}

static void collect_ended(struct client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct transfer *t = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		transfer_end(t, message->data.result);
	}
}

/* Runs all transfers to their ends, or until `patience` signals have come. Returns 0 or
 * -ECANCELED. */
static int run_all(struct client *client, int patience)
{
	struct curl_waitfd extra = { .fd = client->signal_fd, .events = CURL_WAIT_POLLIN };
	int running = 1;

	for (;;) {
		if (curl_multi_perform(client->multi, &running) != CURLM_OK)
			break;
		collect_ended(client);
		if (!running)
			break;
		(void)curl_multi_poll(client->multi, &extra, client->signal_fd < 0 ? 0 : 1, 60000,
				      NULL);
		if (client->signal_fd >= 0 && take_signal(client) && --patience == 0)
			return -ECANCELED;
	}
	return 0;
}

void client_do_all(struct client *client, const struct client_request *requests,
		   struct client_reply *replies, struct error *errs, size_t n)
{
	struct transfer *transfers = calloc(n, sizeof(*transfers));
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		replies[i] = (struct client_reply){ 0 };
		errs[i] = ERROR_INIT;
		if (!transfers) {
			(void)error_errno(&errs[i], -ENOMEM, "request");
			continue;
		}
		transfers[i] = (struct transfer){ .client = client,
						  .request = &requests[i],
						  .reply = &replies[i],
						  .err = &errs[i] };
		(void)transfer_start(&transfers[i]);
	}
	if (!transfers)
		return;
	r = run_all(client, n > 0 && requests[0].finish ? 2 : 1);
	for (size_t i = 0; i < n; i++) {
		if (errs[i].code == ERR_NONE && replies[i].status == 0)
			(void)error_set(&errs[i], ERR_CANCELLED,
					r < 0 ? "interrupted" : "no reply");
		transfer_done(&transfers[i]);
	}
	free(transfers);
}

int client_do(struct client *client, const struct client_request *request,
	      struct client_reply *ret_reply, struct error *err)
{
	struct error one = ERROR_INIT;

	client_do_all(client, request, ret_reply, &one, 1);
	if (one.code == ERR_NONE)
		return 0;
	*err = one;
	client_reply_done(ret_reply);
	return error_to_errno(err);
}

char *client_escape(const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	char *escaped = malloc(3 * strlen(s) + 1), *out = escaped;

	if (!escaped)
		return NULL;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr("-._~:@", c)) {
			*out++ = (char)c;
		} else {
			*out++ = '%';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		}
	}
	*out = '\0';
	return escaped;
}
