/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/passing.h"
#include "lib/json/json.h"

enum { READ_CHUNK = 4096 };

/* Waits until `fd` (-1: only for the time to pass) has `events`; `max_ms` -1: up to the deadline.
 * 1 ready, 0 when max_ms have passed. */
static int await(const struct qmp *q, int fd, short events, int max_ms, struct error *err)
{
	int64_t until = max_ms < 0 ? INT64_MAX : clock_mono_us() + (int64_t)max_ms * 1000;

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = events },
				       { .fd = q->wait.cancel_fd, .events = POLLIN } };
		int64_t now = clock_mono_us();
		int64_t left = (until < q->wait.deadline_us ? until : q->wait.deadline_us) - now;
		int n;

		if (q->wait.deadline_us <= now)
			return error_set(err, ERR_TIMEOUT, "the VMM did not answer in time");
		if (until <= now)
			return 0;
		left = (left + 999) / 1000;
		n = poll(p, 2, left > INT_MAX ? INT_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			return error_errno(err, -errno, "poll");
		if (n > 0 && p[1].revents)
			return error_set(err, ERR_CANCELLED, "cancelled");
		if (n > 0 && p[0].revents)
			return 1;
	}
}

int qmp_sleep(struct qmp *q, int ms, struct error *err)
{
	return await(q, -1, 0, ms, err);
}

/* One line without its end, as text in the buffer; *ret_len bytes of it and the end must be
 * consumed. */
static int read_line(struct qmp *q, size_t *ret_len, struct error *err)
{
	size_t seen = 0;

	for (;;) {
		size_t have = buf_len(&q->in);
		const uint8_t *nl = NULL;
		uint8_t *room;
		ssize_t n;
		int r;

		if (have > seen)
			nl = memchr(buf_bytes(&q->in) + seen, '\n', have - seen);
		if (nl) {
			*ret_len = (size_t)(nl - buf_bytes(&q->in));
			return 0;
		}
		seen = have;
		room = buf_reserve(&q->in, READ_CHUNK);
		if (!room)
			return error_set(err, ERR_INTERNAL,
					 "the VMM sent a line of more than %d bytes", QMP_LINE_MAX);
		r = await(q, q->fd, POLLIN, -1, err);
		if (r < 0)
			return r;
		n = recv(q->fd, room, READ_CHUNK, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return error_errno(err, -errno, "read from the VMM");
		if (n == 0)
			return error_set(err, ERR_UNAVAILABLE, "the VMM closed its monitor");
		buf_commit(&q->in, (size_t)n);
	}
}

/* The next document; a new reference. */
static int read_message(struct qmp *q, json_t **ret_message, struct error *err)
{
	json_t *message;
	size_t len = 0;
	int r;

	r = read_line(q, &len, err);
	if (r < 0)
		return r;
	message = json_parse((const char *)buf_bytes(&q->in), len, err);
	buf_consume(&q->in, len + 1);
	if (!message) {
		/* Not the fault of whoever asked. */
		if (err->code == ERR_BAD_REQUEST)
			err->code = ERR_INTERNAL;
		return error_wrap(err, "what the VMM sent");
	}
	if (!json_is_object(message)) {
		json_decref(message);
		return error_set(err, ERR_INTERNAL, "the VMM sent something else than an object");
	}
	*ret_message = message;
	return 0;
}

static int send_bytes(struct qmp *q, const char *data, size_t len, int send_fd, struct error *err)
{
	while (len > 0) {
		const struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
		ssize_t n = await(q, q->fd, POLLOUT, -1, err);

		if (n < 0)
			return (int)n;
		n = send_with_fd(q->fd, &part, 1, send_fd, MSG_DONTWAIT);
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			return error_errno(err, (int)n, "write to the VMM");
		send_fd = -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* `args` is borrowed. */
static int send_command(struct qmp *q, const char *command, json_t *args, int send_fd,
			struct error *err)
{
	json_auto_t *message = json_pack("{s:s, s:i}", "execute", command, "id", (int)++q->last_id);
	autofree char *text = NULL;
	autofree char *line = NULL;
	size_t len;

	if (args && (!message || json_object_set(message, "arguments", args) < 0))
		return error_errno(err, -ENOMEM, "%s", command);
	text = message ? json_text(message) : NULL;
	if (!text)
		return error_errno(err, -ENOMEM, "%s", command);
	len = strlen(text);
	line = realloc(TAKE_PTR(text), len + 2);
	if (!line)
		return error_errno(err, -ENOMEM, "%s", command);
	line[len++] = '\n';
	return send_bytes(q, line, len, send_fd, err);
}

/* The reply to the command under way; events in front of it are dropped. */
static int read_reply(struct qmp *q, const char *command, json_t **ret_reply, struct error *err)
{
	for (;;) {
		json_auto_t *message = NULL;
		const json_t *id;
		int r;

		r = read_message(q, &message, err);
		if (r < 0)
			return r;
		if (json_object_get(message, "event"))
			continue;
		id = json_object_get(message, "id");
		if (!json_is_integer(id) || json_integer_value(id) != q->last_id)
			return error_set(err, ERR_INTERNAL,
					 "the VMM answered something that was not asked");
		if (!json_object_get(message, "return") && !json_object_get(message, "error"))
			return error_set(err, ERR_INTERNAL, "the VMM gave no answer to %s",
					 command);
		*ret_reply = TAKE_PTR(message);
		return 0;
	}
}

/* Text of the other side, fit for a message: one line, printable, at most `size` - 1 bytes. */
static void tame(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		buf[n++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	buf[n] = '\0';
}

int qmp_call(struct qmp *q, const char *command, json_t *args, int send_fd, json_t **ret_value,
	     struct error *err)
{
	json_auto_t *mine = args;
	json_auto_t *reply = NULL;
	json_t *value;
	int r;

	if (q->fd < 0 || q->broken)
		return error_set(err, ERR_UNAVAILABLE, "%s: no connection to the VMM", command);
	r = send_command(q, command, mine, send_fd, err);
	if (r == 0)
		r = read_reply(q, command, &reply, err);
	if (r < 0) {
		q->broken = true;
		return error_wrap(err, "%s", command);
	}
	value = json_object_get(reply, "return");
	if (!value) {
		const char *desc =
			json_string_value(json_object_get(json_object_get(reply, "error"), "desc"));
		char text[256];

		tame(desc ? desc : "refused without a reason", text, sizeof(text));
		return error_set(err, ERR_INTERNAL, "%s: %s", command, text);
	}
	if (ret_value)
		*ret_value = json_incref(value);
	return 0;
}

int qmp_open(struct qmp *q, int fd, const struct vmm_wait *wait, struct error *err)
{
	json_auto_t *greeting = NULL;
	int r;

	*q = (struct qmp){ .fd = fd, .wait = *wait };
	buf_init(&q->in, QMP_LINE_MAX);
	r = read_message(q, &greeting, err);
	if (r == 0 && !json_is_object(json_object_get(greeting, "QMP")))
		r = error_set(err, ERR_INTERNAL, "this is no QEMU monitor");
	if (r == 0)
		r = qmp_call(q, "qmp_capabilities", NULL, -1, NULL, err);
	if (r < 0)
		qmp_close(q);
	return r;
}

void qmp_close(struct qmp *q)
{
	if (q->fd < 0)
		return;
	close_keep_errno(q->fd);
	buf_done(&q->in);
	*q = QMP_INIT;
}
