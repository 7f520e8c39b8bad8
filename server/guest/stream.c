/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, trees and tunnels: one stream of the link each, handed through. What the agent replies
 * with an error status is collected and told as an error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/link/protocol.h"
#include "server/guest/internal.h"

enum { ERROR_MAX = 16 * 1024, PATH_TEXT_MAX = 12 * 1024, AUTHORITY_MAX = 80 };

struct guest_stream {
	struct guest_stream *next;
	struct guest *guest;
	struct guest_stream_callbacks callbacks;
	void *data;
	struct link_stream *stream;
	bool large; /* many bytes may come */
	int status; /* 0: no reply yet */
	struct buf error;
};

static void stream_free(struct guest_stream *s)
{
	for (struct guest_stream **p = &guest_lists(s->guest)->streams; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	if (s->stream)
		link_stream_reset(s->stream);
	buf_done(&s->error);
	free(s);
}

static void stream_end(struct guest_stream *s, const struct error *err)
{
	struct guest_stream_callbacks callbacks = s->callbacks;
	void *data = s->data;

	stream_free(s);
	if (callbacks.end)
		callbacks.end(data, err);
}

/* --- the reply --- */

static uint64_t number(const struct link_stream *stream, const char *name, int base,
		       uint64_t otherwise)
{
	const char *text = link_stream_header(stream, name);
	char *end;
	uint64_t v;

	if (!text || *text < '0' || *text > '9')
		return otherwise;
	errno = 0;
	v = strtoull(text, &end, base);
	return errno || *end ? otherwise : v;
}

/* Nothing of what the guest says of a file is trusted to be short, or printable. */
static void copy_token(char *to, size_t size, const struct link_stream *stream, const char *name)
{
	const char *text = link_stream_header(stream, name);
	size_t n = 0;

	for (; text && *text > ' ' && *text <= '~' && n + 1 < size; text++)
		to[n++] = *text;
	to[n] = '\0';
}

static void on_reply(void *data, int status)
{
	struct guest_stream *s = data;
	const char *content = link_stream_header(s->stream, "content-type");
	struct guest_file_info info = { .size = 0 };

	s->status = status;
	if (status >= 300)
		return;
	if (s->large)
		link_stream_widen(s->stream);
	copy_token(info.type, sizeof(info.type), s->stream, "file-type");
	if (!info.type[0] && content && streq(content, "application/json"))
		(void)snprintf(info.type, sizeof(info.type), "dir"); /* a folder's listing */
	copy_token(info.etag, sizeof(info.etag), s->stream, "etag");
	info.size = number(s->stream, "file-size", 10, 0);
	info.sized = link_stream_header(s->stream, "file-size") != NULL;
	info.mode = (uint32_t)(number(s->stream, "file-mode", 8, 0) & 07777);
	info.uid = (uint32_t)number(s->stream, "file-uid", 10, 0);
	info.gid = (uint32_t)number(s->stream, "file-gid", 10, 0);
	info.mtime_ns = (int64_t)(number(s->stream, "file-mtime-ns", 10, 0) & INT64_MAX);
	if (s->callbacks.ready)
		s->callbacks.ready(s->data, &info);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct guest_stream *s = data;

	if (s->status >= 300) {
		(void)!buf_append(&s->error, bytes, len); /* what does not fit is not needed */
		return true;
	}
	return s->callbacks.output ? s->callbacks.output(s->data, bytes, len) : true;
}

static enum error_code code_of(int status)
{
	switch (status) {
	case 404:
		return ERR_NOT_FOUND;
	case 400:
		return ERR_INVALID;
	case 409:
		return ERR_STATE;
	case 412:
		return ERR_PRECONDITION;
	case 503:
		return ERR_UNAVAILABLE;
	default:
		return ERR_GUEST;
	}
}

static void refused(struct guest_stream *s)
{
	struct error err = ERROR_INIT;
	struct error ignored = ERROR_INIT;
	json_auto_t *document =
		json_parse((const char *)buf_bytes(&s->error), buf_len(&s->error), &ignored);
	const char *text = json_string_value(json_object_get(document, "error"));
	json_int_t sys = json_integer_value(json_object_get(document, "errno"));

	(void)error_set(&err, code_of(s->status), "the guest's agent: %.400s",
			text               ? text
			: s->status == 404 ? "not found"
					   : "refused");
	err.sys = sys > 0 && sys < 4096 ? (int)sys : 0;
	stream_end(s, &err);
}

static void on_end(void *data)
{
	struct guest_stream *s = data;

	if (s->status >= 300)
		refused(s);
	else if (s->callbacks.output_end)
		s->callbacks.output_end(s->data);
}

static void on_writable(void *data)
{
	struct guest_stream *s = data;

	if (s->callbacks.writable)
		s->callbacks.writable(s->data);
}

static void on_closed(void *data, const char *why)
{
	struct guest_stream *s = data;
	struct error err = ERROR_INIT;

	s->stream = NULL;
	if (why || s->status == 0)
		(void)error_set(&err, ERR_GUEST, "the transfer from or to the guest broke off: %s",
				why ? why : "no answer");
	stream_end(s, &err);
}

static const struct link_stream_ops stream_ops = { .reply = on_reply,
						   .data = on_data,
						   .end = on_end,
						   .writable = on_writable,
						   .closed = on_closed };

/* --- requests --- */

static struct guest_stream *stream_new(struct guest *guest,
				       const struct guest_stream_callbacks *callbacks, void *data,
				       struct error *err)
{
	struct guest_stream *s = NULL;

	if (!guest_is_up(guest))
		(void)error_set(err, ERR_UNAVAILABLE, "the guest's agent can't be reached now");
	else if (!(s = calloc(1, sizeof(*s))))
		(void)error_errno(err, -ENOMEM, "open a stream to the guest");
	if (!s)
		return NULL;
	*s = (struct guest_stream){ .guest = guest, .callbacks = *callbacks, .data = data };
	buf_init(&s->error, ERROR_MAX);
	s->next = guest_lists(guest)->streams;
	guest_lists(guest)->streams = s;
	return s;
}

static int opened(struct guest_stream *s, struct guest_stream **ret_stream, struct error *err)
{
	if (!s->stream) {
		stream_free(s);
		return error_set(err, ERR_UNAVAILABLE, "the guest's agent can't be reached now");
	}
	*ret_stream = s;
	return 0;
}

/* "<prefix><path without its leading slash, escaped>"; -ENAMETOOLONG when it does not fit. */
static int make_path(char *to, size_t size, const char *prefix, const char *path)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	size_t n = strlen(prefix);

	memcpy(to, prefix, n + 1);
	for (path += *path == '/'; *path; path++) {
		if (n + 4 > size)
			return -ENAMETOOLONG;
		if (strchr(plain, *path))
			to[n++] = *path;
		else
			n += (size_t)snprintf(to + n, 4, "%%%02X", (unsigned char)*path);
	}
	to[n] = '\0';
	return 0;
}

struct request {
	const char *method;
	const char *prefix;
	const char *path;
	const char *query; /* "" for none */
	bool body;
	struct guest_condition condition;
};

static struct link_stream *open_request(struct guest *guest, const struct request *req,
					const char *path, struct guest_stream *s)
{
	struct link_header headers[6] = {
		{ ":method", req->method },
		{ ":scheme", "http" },
		{ ":authority", "guest" },
		{ ":path", path },
	};
	size_t n = 4;

	if (req->condition.if_match)
		headers[n++] = (struct link_header){ "if-match", req->condition.if_match };
	if (req->condition.if_none_match)
		headers[n++] =
			(struct link_header){ "if-none-match", req->condition.if_none_match };
	return link_stream_open(guest_session(guest), headers, n, req->body, &stream_ops, s);
}

static int request(struct guest *guest, const struct request *req,
		   const struct guest_stream_callbacks *callbacks, void *data,
		   struct guest_stream **ret_stream, struct error *err)
{
	char path[PATH_TEXT_MAX];
	struct guest_stream *s;
	size_t len;

	if (req->path[0] != '/' || make_path(path, sizeof(path) - 256, req->prefix, req->path) < 0)
		return error_set(err, ERR_INVALID, "not an absolute path of at most 4095 bytes");
	len = strlen(path);
	(void)snprintf(path + len, sizeof(path) - len, "%s", req->query);
	s = stream_new(guest, callbacks, data, err);
	if (!s)
		return error_to_errno(err);
	s->large = streq(req->method, "GET");
	s->stream = open_request(guest, req, path, s);
	return opened(s, ret_stream, err);
}

int guest_file_get(struct guest *guest, const char *path, const struct guest_range *range,
		   const struct guest_stream_callbacks *callbacks, void *data,
		   struct guest_stream **ret_stream, struct error *err)
{
	char query[80];
	const struct request req = { "GET", "/files/", path, query, false, GUEST_NO_CONDITION };

	if (range->from_end)
		(void)snprintf(query, sizeof(query), "?last=%llu",
			       (unsigned long long)range->length);
	else
		(void)snprintf(query, sizeof(query), "?offset=%llu&length=%llu",
			       (unsigned long long)range->offset,
			       (unsigned long long)range->length);
	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_file_head(struct guest *guest, const char *path, bool follow_links,
		    const struct guest_stream_callbacks *callbacks, void *data,
		    struct guest_stream **ret_stream, struct error *err)
{
	const struct request req = { "HEAD", "/files/",
				     path,   follow_links ? "" : "?nofollow=1",
				     false,  GUEST_NO_CONDITION };

	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_file_put(struct guest *guest, const char *path, const struct guest_put_options *options,
		   const struct guest_stream_callbacks *callbacks, void *data,
		   struct guest_stream **ret_stream, struct error *err)
{
	char query[200];
	const struct request req = { "PUT", "/files/", path, query, true, options->condition };
	int n = snprintf(query, sizeof(query), "?parents=%d", options->parents);

	if (options->offset >= 0)
		n += snprintf(query + n, sizeof(query) - (size_t)n, "&offset=%lld",
			      (long long)options->offset);
	if (options->mode >= 0)
		n += snprintf(query + n, sizeof(query) - (size_t)n, "&mode=%o",
			      (unsigned int)options->mode);
	if (options->uid >= 0)
		n += snprintf(query + n, sizeof(query) - (size_t)n, "&uid=%lld",
			      (long long)options->uid);
	if (options->gid >= 0)
		(void)snprintf(query + n, sizeof(query) - (size_t)n, "&gid=%lld",
			       (long long)options->gid);
	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_file_delete(struct guest *guest, const char *path, bool recursive,
		      const struct guest_condition *condition,
		      const struct guest_stream_callbacks *callbacks, void *data,
		      struct guest_stream **ret_stream, struct error *err)
{
	const struct request req = { "DELETE", "/files/", path, recursive ? "?recursive=1" : "",
				     false,    *condition };

	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_tar_get(struct guest *guest, const char *path,
		  const struct guest_stream_callbacks *callbacks, void *data,
		  struct guest_stream **ret_stream, struct error *err)
{
	const struct request req = { "GET", "/tar/", path, "", false, GUEST_NO_CONDITION };

	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_tar_get_root(struct guest *guest, const struct guest_stream_callbacks *callbacks,
		       void *data, struct guest_stream **ret_stream, struct error *err)
{
	const struct request req = { "GET", "/tar/", "/", "?root=1", false, GUEST_NO_CONDITION };

	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_tar_put(struct guest *guest, const char *path,
		  const struct guest_stream_callbacks *callbacks, void *data,
		  struct guest_stream **ret_stream, struct error *err)
{
	const struct request req = { "PUT", "/tar/", path, "", true, GUEST_NO_CONDITION };

	return request(guest, &req, callbacks, data, ret_stream, err);
}

int guest_tunnel_open(struct guest *guest, const char *host, uint16_t port,
		      const struct guest_stream_callbacks *callbacks, void *data,
		      struct guest_stream **ret_stream, struct error *err)
{
	char authority[AUTHORITY_MAX];
	const struct link_header headers[] = { { ":method", "CONNECT" },
					       { ":authority", authority } };
	struct guest_stream *s;

	if (strlen(host) > 48 ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789.:") != strlen(host))
		return error_set(err, ERR_INVALID, "not a numeric address or localhost");
	(void)snprintf(authority, sizeof(authority), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
		       port);
	s = stream_new(guest, callbacks, data, err);
	if (!s)
		return error_to_errno(err);
	s->stream = link_stream_open(guest_session(guest), headers, ARRAY_SIZE(headers), true,
				     &stream_ops, s);
	return opened(s, ret_stream, err);
}

void streams_end_all(struct guest *guest, const struct error *why)
{
	while (guest_lists(guest)->streams)
		stream_end(guest_lists(guest)->streams, why);
}

/* --- for the owner --- */

size_t guest_stream_write(struct guest_stream *s, const void *bytes, size_t len)
{
	return link_stream_write(s->stream, bytes, len);
}

void guest_stream_finish(struct guest_stream *s)
{
	link_stream_finish(s->stream);
}

void guest_stream_resume(struct guest_stream *s)
{
	link_stream_resume(s->stream);
}

void guest_stream_abort(struct guest_stream *s)
{
	stream_free(s);
}
