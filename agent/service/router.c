/* SPDX-License-Identifier: Apache-2.0 */
/* Requests by method and path, and the ones that are just JSON in, JSON out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/service/file.h"
#include "agent/service/service.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/hex.h"
#include "lib/base/utf8.h"
#include "lib/json/json.h"
#include "lib/link/protocol.h"

struct route {
	const char *method;
	const char *path; /* a prefix when it ends with '/' */
	call_fn *call;    /* JSON in, JSON out; or … */
	void (*request)(struct agent *agent, struct link_stream *stream);
};

static const struct route routes[] = {
	{ "POST", "/execs/", NULL, exec_request },    { "GET", "/execs", call_execs, NULL },
	{ "POST", "/clock", call_clock, NULL },       { "POST", "/identity", call_identity, NULL },
	{ "POST", "/stats", call_stats, NULL },       { "POST", "/ports", call_ports, NULL },
	{ "POST", "/poweroff", call_poweroff, NULL }, { "POST", "/sync", call_sync, NULL },
	{ "POST", "/home", call_home, NULL },         { "GET", "/tar/", NULL, tree_get },
	{ "PUT", "/tar/", NULL, tree_put },           { "GET", "/files/", NULL, file_get },
	{ "HEAD", "/files/", NULL, file_head },       { "PUT", "/files/", NULL, file_put },
	{ "DELETE", "/files/", NULL, file_delete },
};

struct call {
	struct agent *agent;
	struct link_stream *stream;
	call_fn *fn;
	struct buf body;
};

/* --- replies --- */

struct reply {
	struct link_stream *stream;
	char *text;
	size_t at;
	size_t len;
};

static void reply_push(void *data)
{
	struct reply *reply = data;

	reply->at +=
		link_stream_write(reply->stream, reply->text + reply->at, reply->len - reply->at);
	if (reply->at == reply->len)
		link_stream_finish(reply->stream);
}

static void reply_closed(void *data, const char *why)
{
	struct reply *reply = data;

	(void)why;
	free(reply->text);
	free(reply);
}

static const struct link_stream_ops reply_ops = { .writable = reply_push, .closed = reply_closed };

void agent_reply_json(struct link_stream *stream, int status, json_t *body)
{
	static const struct link_header headers[] = { { "content-type", "application/json" } };
	struct reply *reply = calloc(1, sizeof(*reply));
	char *text = body ? json_text(body) : NULL;

	json_decref(body);
	if (!reply || !text ||
	    link_stream_reply(stream, status, headers, ARRAY_SIZE(headers), true) < 0) {
		free(reply);
		free(text);
		link_stream_reset(stream);
		return;
	}
	*reply = (struct reply){ .stream = stream, .text = text, .len = strlen(text) };
	link_stream_set_ops(stream, &reply_ops, reply);
	reply_push(reply);
}

static int status_of(enum error_code code)
{
	if (code == ERR_NOT_FOUND)
		return 404;
	if (code == ERR_METHOD)
		return 405;
	if (code == ERR_BAD_REQUEST || code == ERR_INVALID)
		return 400;
	if (code == ERR_STATE || code == ERR_EXISTS)
		return 409;
	if (code == ERR_PRECONDITION)
		return 412;
	if (code == ERR_UNAVAILABLE)
		return 503;
	return code == ERR_UNSUPPORTED ? 501 : 500;
}

void agent_reply_error(struct link_stream *stream, const struct error *err)
{
	/* It may name a file, whose name is bytes of any kind and may have been cut. */
	autofree char *text = utf8_text(err->msg, strlen(err->msg));

	agent_reply_json(
		stream, status_of(err->code),
		json_pack("{s:s, s:i}", "error", text ? text : "out of memory", "errno", err->sys));
}

/* --- calls --- */

static void call_free(struct call *call)
{
	buf_done(&call->body);
	free(call);
}

static bool call_data(void *data, const uint8_t *bytes, size_t len)
{
	struct call *call = data;

	if (buf_append(&call->body, bytes, len) < 0) {
		link_stream_reset(call->stream);
		call_free(call);
	}
	return true;
}

static int call_run(struct call *call, json_t **ret_reply, struct error *err)
{
	json_auto_t *body = NULL;

	if (buf_len(&call->body) > 0) {
		body = json_parse((const char *)buf_bytes(&call->body), buf_len(&call->body), err);
		if (!body)
			return -EINVAL;
		if (!json_is_object(body))
			return error_set(err, ERR_BAD_REQUEST, "the body is not a JSON object");
	}
	return call->fn(call->agent, body, ret_reply, err);
}

/* A reply that waits for a child. */
struct later {
	struct link_stream *stream; /* NULL: gone */
	json_t *reply;
};

static void later_ended(void *data, int status)
{
	struct later *later = data;
	struct error err = ERROR_INIT;

	if (later->stream && status != 0) {
		(void)error_set(&err, ERR_GUEST, "a program of the guest that was needed failed");
		agent_reply_error(later->stream, &err);
	} else if (later->stream) {
		agent_reply_json(later->stream, 200, TAKE_PTR(later->reply));
	}
	json_decref(later->reply);
	free(later);
}

static void later_closed(void *data, const char *why)
{
	struct later *later = data;

	(void)why;
	later->stream = NULL;
}

static const struct link_stream_ops later_ops = { .closed = later_closed };

static void reply_later(struct agent *agent, struct link_stream *stream, json_t *reply, pid_t pid)
{
	struct later *later = calloc(1, sizeof(*later));

	if (!later || agent_child_add(agent, pid, later_ended, later) < 0) {
		free(later);
		json_decref(reply);
		link_stream_reset(stream);
		return;
	}
	*later = (struct later){ .stream = stream, .reply = reply };
	link_stream_set_ops(stream, &later_ops, later);
}

static void call_end(void *data)
{
	struct call *call = data;
	struct link_stream *stream = call->stream;
	struct error err = ERROR_INIT;
	json_t *reply = NULL;

	call->agent->reply_after = 0;
	if (call_run(call, &reply, &err) < 0)
		agent_reply_error(stream, &err);
	else if (call->agent->reply_after > 0)
		reply_later(call->agent, stream, reply ? reply : json_object(),
			    call->agent->reply_after);
	else
		agent_reply_json(stream, 200, reply ? reply : json_object());
	call_free(call);
}

static void call_closed(void *data, const char *why)
{
	(void)why;
	call_free(data);
}

static const struct link_stream_ops call_ops = { .data = call_data,
						 .end = call_end,
						 .closed = call_closed };

static void call_start(struct agent *agent, struct link_stream *stream, call_fn *fn)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call) {
		link_stream_reset(stream);
		return;
	}
	*call = (struct call){ .agent = agent, .stream = stream, .fn = fn };
	buf_init(&call->body, LINK_JSON_MAX);
	link_stream_set_ops(stream, &call_ops, call);
}

/* --- routing --- */

static bool path_fits(const struct route *route, const char *path)
{
	size_t n = strlen(route->path);

	if (route->path[n - 1] == '/')
		return strncmp(path, route->path, n) == 0;
	return strncmp(path, route->path, n) == 0 && (path[n] == '\0' || path[n] == '?');
}

void agent_request(struct agent *agent, struct link_stream *stream)
{
	const char *method = link_stream_header(stream, ":method");
	const char *path = link_stream_header(stream, ":path");
	struct error err = ERROR_INIT;

	if (method && streq(method, "CONNECT")) {
		tunnel_request(agent, stream);
		return;
	}
	for (size_t i = 0; method && path && i < ARRAY_SIZE(routes); i++) {
		if (!streq(method, routes[i].method) || !path_fits(&routes[i], path))
			continue;
		if (routes[i].call)
			call_start(agent, stream, routes[i].call);
		else
			routes[i].request(agent, stream);
		return;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "the agent has no such resource");
	agent_reply_error(stream, &err);
}

/* --- parts of a request --- */

int agent_request_path(const struct link_stream *stream, const char *prefix, char *path,
		       size_t size)
{
	const char *p = link_stream_header(stream, ":path");
	size_t n = 0;

	if (!p || !str_has_prefix(p, prefix))
		return -EINVAL;
	path[n++] = '/';
	for (p += strlen(prefix); *p && *p != '?'; p++) {
		char c = *p;

		if (n + 1 >= size)
			return -ENAMETOOLONG;
		if (c == '%') {
			int hi = hex_digit(p[1]);
			int lo = hi < 0 ? -1 : hex_digit(p[2]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return -EINVAL;
			c = (char)(hi * 16 + lo);
			p += 2;
		}
		path[n++] = c;
	}
	path[n] = '\0';
	return 0;
}

int agent_request_number(const struct link_stream *stream, const char *name, int base,
			 uint64_t otherwise, uint64_t *ret)
{
	const char *path = link_stream_header(stream, ":path");
	const char *p = path ? strchr(path, '?') : NULL;
	size_t n = strlen(name);

	*ret = otherwise;
	for (; p; p = strchr(p, '&')) {
		char *end;

		p++;
		if (strncmp(p, name, n) != 0 || p[n] != '=')
			continue;
		if (hex_digit(p[n + 1]) < 0)
			return -EINVAL;
		errno = 0;
		*ret = strtoull(p + n + 1, &end, base);
		return errno || (*end && *end != '&') ? -EINVAL : 0;
	}
	return 0;
}
