/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm shell, vm exec --tty and vm console: this terminal, raw, on a WebSocket. Two keys after a
 * newline are ours, as ssh has it: `~.` ends the session and `~d` leaves it. A connection that
 * breaks is opened again where it stopped, for as long as the server keeps the session.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/escape.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/wire.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"

enum { QUEUE_MAX = 256 * 1024, TRIES = 60, TRY_MS = 500 };

struct shell {
	struct cli *cli;
	struct ws *ws;
	struct escape escape;
	struct termios before;
	bool raw;
	bool is_console;
	int winch_fd;
	char session[32];
	uint64_t offset; /* of the next byte */
	bool input_over;
	bool leaving;
	bool over; /* the last frame has come */
	json_t *problem;
	int status;
};

/* --- this terminal --- */

static void make_raw(struct shell *s)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &s->before) < 0)
		return;
	raw = s->before;
	cfmakeraw(&raw);
	s->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void restore(struct shell *s)
{
	if (s->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->before);
	s->raw = false;
}

bool terminal_size(unsigned int *ret_rows, unsigned int *ret_cols)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		return false;
	*ret_rows = size.ws_row;
	*ret_cols = size.ws_col;
	return true;
}

static int watch_size(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void tell_size(struct shell *s)
{
	struct signalfd_siginfo info;
	unsigned int rows, cols;
	char text[80];

	while (read(s->winch_fd, &info, sizeof(info)) > 0)
		;
	if (s->is_console || !terminal_size(&rows, &cols))
		return;
	(void)snprintf(text, sizeof(text), "{\"type\":\"resize\",\"rows\":%u,\"cols\":%u}", rows,
		       cols);
	(void)ws_send(s->ws, true, text, strlen(text));
}

/* --- from the server --- */

static void take_json(struct shell *s, const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	json_auto_t *message = json_parse(text, len, &err);
	const char *type = json_str(message, "type");
	const json_t *code = json_object_get(message, "exit_code");

	if (streq(type, "session")) {
		(void)snprintf(s->session, sizeof(s->session), "%s", json_str(message, "id"));
		s->offset = (uint64_t)json_int(message, "offset");
	} else if (streq(type, "skipped")) {
		s->offset = (uint64_t)json_int(message, "to");
	} else if (streq(type, "exit")) {
		s->over = true;
		s->status = json_is_integer(code) ? (int)(json_integer_value(code) & 0xff)
						  : 128 + (int)json_int(message, "signal");
	} else if (streq(type, "error")) {
		s->over = true;
		s->status = EXIT_OURS;
		json_decref(s->problem);
		s->problem = json_incref(json_object_get(message, "problem"));
	}
}

static void on_message(void *data, bool text, const void *bytes, size_t len)
{
	struct shell *s = data;

	if (text) {
		take_json(s, bytes, len);
		return;
	}
	s->offset += len;
	if (write_all(STDOUT_FILENO, bytes, len) < 0)
		s->over = true;
}

/* --- to the server --- */

static void leave(struct shell *s, bool end)
{
	static const char close[] = "{\"type\":\"close\"}";

	if (end && !s->is_console)
		(void)ws_send(s->ws, true, close, sizeof(close) - 1);
	s->leaving = true;
	s->status = 0;
}

static void take_keys(struct shell *s)
{
	char keys[4096], out[2 * sizeof(keys)];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
	enum escape_action action = ESCAPE_NONE;
	size_t len;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		s->input_over = true;
		if (!s->raw && !s->is_console)
			(void)ws_send(s->ws, false, "\004", 1);
		return;
	}
	len = escape_feed(&s->escape, keys, (size_t)n, out, &action);
	if (len > 0)
		(void)ws_send(s->ws, false, out, len);
	if (action != ESCAPE_NONE)
		leave(s, action == ESCAPE_END);
}

/* --- the connection --- */

/* 1: open; 0: refused, with *ret_reply; negative: no answer. */
static int connect_to(struct shell *s, const char *path, struct client_reply *ret_reply,
		      struct error *err)
{
	autofree char *again = NULL;

	if (s->session[0] && asprintf(&again, "%.*s?session=%s&from=%llu", (int)strcspn(path, "?"),
				      path, s->session, (unsigned long long)s->offset) < 0)
		again = NULL;
	return ws_open(s->cli->client, again ? again : path, on_message, s, &s->ws, ret_reply, err);
}

/* False when it is over for good. */
static bool connect_again(struct shell *s, const char *path)
{
	if (s->is_console || !s->session[0])
		return false;
	for (int i = 0; i < TRIES; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		struct error err = ERROR_INIT;
		int r;

		if (client_sleep_ms(s->cli->client, TRY_MS) < 0)
			return false;
		r = connect_to(s, path, &reply, &err);
		if (r > 0)
			return true;
		if (r == 0) /* it answers, and has no such session any more */
			return false;
	}
	return false;
}

/* Until the connection ends, or we do. */
static void talk(struct shell *s)
{
	bool alive = ws_work(s->ws); /* what came behind the head */

	while (alive && !s->over && !s->leaving) {
		bool full = ws_queued(s->ws) > QUEUE_MAX;
		struct pollfd p[] = {
			{ .fd = ws_fd(s->ws), .events = ws_events(s->ws) },
			{ .fd = s->input_over || full ? -1 : STDIN_FILENO, .events = POLLIN },
			{ .fd = s->winch_fd, .events = POLLIN },
			{ .fd = client_signal_fd(s->cli->client), .events = POLLIN },
		};

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[1].revents)
			take_keys(s);
		if (p[2].revents)
			tell_size(s);
		if (p[3].revents && client_sleep_ms(s->cli->client, 0) < 0) {
			leave(s, false);
			s->status = 128 + client_signal(s->cli->client);
		}
		alive = ws_work(s->ws);
	}
}

static int first_connection(struct shell *s, const char *path)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error err = ERROR_INIT;
	int r = connect_to(s, path, &reply, &err);

	if (r < 0)
		return cli_fail(s->cli, &err);
	return r == 0 ? cli_fail_reply(s->cli, &reply) : 0;
}

int shell_run(struct cli *cli, const char *path, bool is_console)
{
	struct shell s = { .cli = cli, .is_console = is_console, .status = EXIT_OURS };
	int status = first_connection(&s, path);

	if (status)
		return status == EXIT_FAILED ? EXIT_OURS : status;
	s.winch_fd = watch_size();
	escape_init(&s.escape);
	if (isatty(STDIN_FILENO))
		make_raw(&s);
	do {
		talk(&s);
		ws_free(TAKE_PTR(s.ws));
	} while (!s.over && !s.leaving && connect_again(&s, path));
	restore(&s);
	close_keep_errno(s.winch_fd);
	if (s.problem)
		cli_show_problem(cli, s.problem);
	else if (is_console && !s.leaving)
		s.status = 0;
	else if (!s.over && !s.leaving)
		(void)fprintf(stderr, "\r\nbanger: the connection was lost\n");
	json_decref(s.problem);
	return s.status;
}

/* --- commands --- */

/* "&name=value" for an option that was given, escaped. */
static int add_query(struct buf *query, const struct args *args, enum option_id id)
{
	autofree char *value = args_given(args, id) ? client_escape(args->values[id]) : strdup("");

	if (!value)
		return -ENOMEM;
	return *value ? buf_printf(query, "&%s=%s", option_specs[id].field, value) : 0;
}

int cmd_vm_shell(struct cli *cli, const struct args *args)
{
	struct buf query CLEANUP(buf_done) = { 0 };
	autofree char *vm = client_escape(args->positional[0]), *path = NULL;
	unsigned int rows = 24, cols = 80;
	int status = cli_connect(cli, args);

	buf_init(&query, 16384);
	if (status)
		return status;
	(void)terminal_size(&rows, &cols);
	if (!vm || buf_printf(&query, "rows=%u&cols=%u", rows, cols) < 0 ||
	    add_query(&query, args, OPT_USER) < 0 || add_query(&query, args, OPT_CWD) < 0 ||
	    add_query(&query, args, OPT_SESSION) < 0 ||
	    asprintf(&path, "/vms/%s/terminal?%.*s", vm, (int)buf_len(&query),
		     (const char *)buf_bytes(&query)) < 0)
		return EXIT_OURS;
	return shell_run(cli, path, false);
}

int cmd_vm_console(struct cli *cli, const struct args *args)
{
	autofree char *vm = client_escape(args->positional[0]), *path = NULL;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!vm || asprintf(&path, "/vms/%s/console", vm) < 0)
		return EXIT_OURS;
	return shell_run(cli, path, true);
}
