/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};
static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_MAX_, "every level has a name");

static const char *log_program = "banger";
static enum log_level log_max = LOG_INFO;
static bool log_json = true;
static _Thread_local char thread_op[32];

struct line {
	char buf[4096];
	size_t len;
};

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_max = level;
	log_json = isatty(STDERR_FILENO) != 1;
}

int log_level_parse(const char *s, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (streq(s, level_names[i])) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_op(const char *op_id)
{
	(void)snprintf(thread_op, sizeof(thread_op), "%s", op_id ? op_id : "");
}

const char *log_op(void)
{
	return thread_op;
}

/* Room is kept for the closing bytes of a record, so that a cut record is still one JSON object. */
static void put_raw(struct line *l, const char *s)
{
	size_t n = strlen(s);
	size_t room = sizeof(l->buf) - 8 - l->len;

	if (n > room)
		n = room;
	memcpy(l->buf + l->len, s, n);
	l->len += n;
}

static void put_escaped(struct line *l, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		char one[8];

		if (sizeof(l->buf) - 8 - l->len < 8)
			return;
		if (c == '"' || c == '\\')
			(void)snprintf(one, sizeof(one), "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			(void)snprintf(one, sizeof(one), "\\u%04x", c);
		else
			(void)snprintf(one, sizeof(one), "%c", c);
		put_raw(l, one);
	}
}

static void put_field(struct line *l, const char *name, const char *value)
{
	if (log_json) {
		put_raw(l, ",\"");
		put_raw(l, name);
		put_raw(l, "\":\"");
		put_escaped(l, value);
		put_raw(l, "\"");
	} else {
		put_raw(l, "  ");
		put_raw(l, name);
		put_raw(l, "=");
		put_escaped(l, value);
	}
}

static void line_open(struct line *l, enum log_level level, const char *message)
{
	struct timespec ts;
	struct tm tm;
	char when[40];
	char head[160];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	(void)strftime(when, sizeof(when), log_json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
	(void)snprintf(
		head, sizeof(head),
		log_json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"%s\",\"msg\":\""
			 : "%s.%03ld %-5s %s: ",
		when, ts.tv_nsec / 1000000, level_names[level], log_program);
	put_raw(l, head);
	put_escaped(l, message);
	if (log_json)
		put_raw(l, "\"");
	if (thread_op[0])
		put_field(l, "op", thread_op);
}

static void line_close(struct line *l)
{
	const char *end = log_json ? "}\n" : "\n";
	size_t n = strlen(end);

	memcpy(l->buf + l->len, end, n);
	l->len += n;
	(void)!write(STDERR_FILENO, l->buf, l->len);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	struct line l = { .len = 0 };
	int saved = errno;
	char message[1024];
	va_list ap;

	if (level > log_max)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	line_open(&l, level, message);
	line_close(&l);
	errno = saved;
}

void log_fields(enum log_level level, const char *message, ...)
{
	struct line l = { .len = 0 };
	int saved = errno;
	const char *name;
	va_list ap;

	if (level > log_max)
		return;
	line_open(&l, level, message);
	va_start(ap, message);
	while ((name = va_arg(ap, const char *)) != NULL) {
		const char *value = va_arg(ap, const char *);

		put_field(&l, name, value ? value : "");
	}
	va_end(ap);
	line_close(&l);
	errno = saved;
}
