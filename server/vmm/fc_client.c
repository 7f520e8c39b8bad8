/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"

enum { POLL_MAX_MS = 60 * 1000 };

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- what an error body says --- */

/* The text behind "key": " up to the closing quote; escapes are left as they are. */
static const char *quoted_after(const char *body, size_t len, const char *key, size_t *ret_len)
{
	const char *end = body + len;
	const char *p = memmem(body, len, key, strlen(key));

	if (!p)
		return NULL;
	p += strlen(key);
	while (p < end && (*p == ' ' || *p == ':' || *p == '\t'))
		p++;
	if (p == end || *p != '"')
		return NULL;
	*ret_len = 0;
	for (p++; p + *ret_len < end && p[*ret_len] != '"'; (*ret_len)++) {
		if (p[*ret_len] == '\\' && p + *ret_len + 1 < end)
			(*ret_len)++;
	}
	if (p + *ret_len > end)
		*ret_len = (size_t)(end - p);
	return p;
}

char *fc_fault(const char *body, size_t len, char *buf, size_t size)
{
	size_t text_len = 0;
	size_t n = 0;
	const char *text = quoted_after(body, len, "\"fault_message\"", &text_len);

	if (!text)
		text = quoted_after(body, len, "\"error\"", &text_len);
	if (!text) {
		text = body;
		text_len = len;
	}
	for (size_t i = 0; i < text_len && n + 1 < size; i++) {
		char c = text[i];

		if (c == '\\' && i + 1 < text_len) {
			c = text[++i];
			c = c == 'n' || c == 't' || c == 'r' ? ' ' : c;
		}
		if (c == '\n' || c == '\r' || c == '\t')
			c = ' ';
		buf[n++] = c >= ' ' && c < 0x7f ? c : '?';
	}
	while (n > 0 && buf[n - 1] == ' ')
		n--;
	buf[n] = '\0';
	return buf;
}

/* --- one call --- */

struct call {
	CURL *easy;
	CURLM *multi;
	struct curl_slist *headers;
	struct buf reply;
	size_t header_bytes;
	char *text;
	char error[CURL_ERROR_SIZE];
};

static void call_done(struct call *c)
{
	if (c->multi && c->easy)
		(void)curl_multi_remove_handle(c->multi, c->easy);
	curl_easy_cleanup(c->easy);
	if (c->multi)
		(void)curl_multi_cleanup(c->multi);
	curl_slist_free_all(c->headers);
	buf_done(&c->reply);
	free(c->text);
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
	struct call *c = user;

	return buf_append(&c->reply, data, size * n) < 0 ? 0 : size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
	struct call *c = user;

	(void)data;
	c->header_bytes += size * n;
	return c->header_bytes > FC_HEADERS_MAX ? 0 : size * n;
}

static int set_options(struct call *c, const char *socket_path, const char *method,
		       const char *path, const json_t *body)
{
	char url[128];
	CURL *e = c->easy;
	bool ok;

	(void)snprintf(url, sizeof(url), "http://localhost%s", path);
	c->headers = curl_slist_append(NULL, "Expect:");
	if (!c->headers)
		return -ENOMEM;
	if (body) {
		struct curl_slist *more =
			curl_slist_append(c->headers, "Content-Type: application/json");

		c->text = json_text(body);
		if (!more || !c->text)
			return -ENOMEM;
		c->headers = more;
	}
	ok = curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, socket_path) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_WRITEDATA, c) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HEADERDATA, c) == CURLE_OK;
	if (ok && body)
		ok = curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->text) == CURLE_OK;
	return ok ? 0 : -ENOMEM;
}

/* Runs the transfer; *ret_code is curl's verdict. */
static int transfer(struct call *c, const struct vmm_wait *wait, CURLcode *ret_code,
		    struct error *err)
{
	int running = 1;

	if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
		return error_errno(err, -ENOMEM, "libcurl");
	for (;;) {
		struct curl_waitfd extra = { .fd = wait->cancel_fd, .events = CURL_WAIT_POLLIN };
		int64_t left = (wait->deadline_us - clock_mono_us() + 999) / 1000;
		const CURLMsg *msg;
		int queued;

		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl failed");
		msg = curl_multi_info_read(c->multi, &queued);
		if (msg && msg->msg == CURLMSG_DONE) {
			*ret_code = msg->data.result;
			return 0;
		}
		if (left <= 0)
			return error_set(err, ERR_TIMEOUT, "the VMM did not answer in time");
		if (curl_multi_poll(c->multi, &extra, wait->cancel_fd >= 0 ? 1 : 0,
				    left > POLL_MAX_MS ? POLL_MAX_MS : (int)left, NULL) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl failed");
		if (wait->cancel_fd >= 0 && extra.revents)
			return error_set(err, ERR_CANCELLED, "cancelled");
	}
}

static int judge(const struct call *c, CURLcode code, json_t **ret_reply, struct error *err)
{
	size_t len = buf_len(&c->reply);
	const char *body = len ? (const char *)buf_bytes(&c->reply) : "";
	char fault[300];
	long status = 0;

	if (code == CURLE_COULDNT_CONNECT)
		return error_set(err, ERR_UNAVAILABLE, "nobody listens on the VMM's socket");
	if (code == CURLE_WRITE_ERROR)
		return error_set(err, ERR_INTERNAL, "the VMM's reply is too large");
	if (code != CURLE_OK)
		return error_set(err, ERR_UNAVAILABLE, "the VMM's API: %s",
				 *c->error ? c->error : curl_easy_strerror(code));
	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 503)
		return error_set(err, ERR_BUSY, "the VMM's API is busy: %s",
				 fc_fault(body, len, fault, sizeof(fault)));
	if (status < 200 || status > 299)
		return error_set(err, ERR_INTERNAL, "%s",
				 *fc_fault(body, len, fault, sizeof(fault))
					 ? fault
					 : "refused without a reason");
	if (!ret_reply)
		return 0;
	*ret_reply = NULL;
	if (len == 0)
		return 0;
	*ret_reply = json_parse(body, len, err);
	return *ret_reply ? 0 : error_wrap(err, "the VMM's reply");
}

int fc_call(int dir_fd, const char *name, const char *method, const char *path, const json_t *body,
	    const struct vmm_wait *wait, json_t **ret_reply, struct error *err)
{
	struct call c CLEANUP(call_done) = { .reply = { .max = FC_REPLY_MAX } };
	CURLcode code = CURLE_OK;
	char socket_path[96];
	int r;

	(void)pthread_once(&once, init_curl);
	(void)snprintf(socket_path, sizeof(socket_path), "/proc/self/fd/%d/%s", dir_fd, name);
	c.easy = curl_easy_init();
	c.multi = curl_multi_init();
	if (!c.easy || !c.multi || set_options(&c, socket_path, method, path, body) < 0)
		return error_errno(err, -ENOMEM, "%s %s", method, path);
	r = transfer(&c, wait, &code, err);
	if (r == 0)
		r = judge(&c, code, ret_reply, err);
	return r < 0 ? error_wrap(err, "%s %s", method, path) : 0;
}
