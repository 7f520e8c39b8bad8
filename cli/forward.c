/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of a guest: what listens there, forwards to it, and one connection as standard input and
 * output. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/wire.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { COPY_SIZE = 64 * 1024, PORT_MAX = 65535 };

/* "/vms/web<suffix>"; the caller frees. */
static char *vm_path(const struct args *args, const char *suffix)
{
	autofree char *vm = client_escape(args->positional[0]);
	char *path = NULL;

	return vm && asprintf(&path, "/vms/%s%s", vm, suffix) >= 0 ? path : NULL;
}

/* The items of a list. New reference, or NULL with *ret_status. */
static json_t *get_items(struct cli *cli, const char *path, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET", .path = path };

	*ret_status = EXIT_FAILED;
	if (!path || !cli_request(cli, &request, &reply, ret_status))
		return NULL;
	return json_incref(json_object_get(reply.json, "items"));
}

int cmd_vm_ports(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	autofree char *path = vm_path(args, "/ports");
	int status = cli_connect(cli, args);
	json_auto_t *items = status ? NULL : get_items(cli, path, &status);
	const json_t *one;
	size_t i;

	table_init(&table, "PORT", "ADDRESS", "PID", "PROCESS", NULL);
	if (!items)
		return status;
	if (cli->json)
		return print_json(items);
	json_array_foreach (items, i, one) {
		table_cellf(&table, "%lld", (long long)json_int(one, "port"));
		table_cell(&table, json_str(one, "address"));
		if (json_int(one, "pid"))
			table_cellf(&table, "%lld", (long long)json_int(one, "pid"));
		else
			table_cell(&table, NULL);
		table_cell(&table, json_str(one, "process"));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

/* --- forwards --- */

static void show_forward(struct table *table, const json_t *one)
{
	bool listening = json_is_true(json_object_get(one, "listening"));

	table_cellf(table, "%s:%lld", json_str(one, "host_address"),
		    (long long)json_int(one, "host_port"));
	table_cellf(table, "%s:%lld", json_str(one, "guest_host"),
		    (long long)json_int(one, "guest_port"));
	table_cell(table, listening                   ? "listens"
			  : *json_str(one, "problem") ? json_str(one, "problem")
						      : "waits for the VM");
	table_cellf(table, "%lld", (long long)json_int(one, "connections"));
}

static int list_forwards(struct cli *cli, const char *path)
{
	struct table table CLEANUP(table_done) = { 0 };
	int status;
	json_auto_t *items = get_items(cli, path, &status);
	const json_t *one;
	size_t i;

	table_init(&table, "HOST", "GUEST", "STATE", "CONNECTIONS", NULL);
	if (!items)
		return status;
	if (cli->json)
		return print_json(items);
	json_array_foreach (items, i, one)
		show_forward(&table, one);
	table_print(&table, stdout, cli->colour);
	return 0;
}

static bool parse_port(const char *s, size_t len, long *ret_port)
{
	char *end;

	if (len == 0 || len > 5 || strspn(s, "0123456789") < len)
		return false;
	*ret_port = strtol(s, &end, 10);
	return end == s + len && *ret_port >= 1 && *ret_port <= PORT_MAX;
}

/* "8080:80" or "80". */
static json_t *forward_body(const char *text)
{
	const char *colon = strchr(text, ':');
	const char *guest = colon ? colon + 1 : text;
	long host_port = 0, guest_port;

	if (!parse_port(guest, strlen(guest), &guest_port) ||
	    (colon && !parse_port(text, (size_t)(colon - text), &host_port))) {
		(void)fprintf(stderr,
			      "banger: '%s' is no port\ntry: 8080:80, or 80 for any free "
			      "port of the host\n",
			      text);
		return NULL;
	}
	return host_port ? json_pack("{s:I, s:I}", "host_port", (json_int_t)host_port, "guest_port",
				     (json_int_t)guest_port)
			 : json_pack("{s:I}", "guest_port", (json_int_t)guest_port);
}

int cmd_vm_forward(struct cli *cli, const struct args *args)
{
	autofree char *path = vm_path(args, "/forwards");
	int status = cli_connect(cli, args);

	if (status || !path)
		return status ? status : EXIT_FAILED;
	if (args->n_positional == 1)
		return list_forwards(cli, path);
	for (size_t i = 1; i < args->n_positional && status == 0; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		json_auto_t *body = forward_body(args->positional[i]);
		struct client_request request = { .method = "POST", .path = path, .body = body };

		if (!body)
			return EXIT_USAGE;
		if (!cli_request(cli, &request, &reply, &status))
			return status;
		if (cli->json)
			status = print_json(reply.json);
		else
			(void)printf("%s:%lld\n", json_str(reply.json, "host_address"),
				     (long long)json_int(reply.json, "host_port"));
	}
	return status;
}

int cmd_vm_unforward(struct cli *cli, const struct args *args)
{
	autofree char *path = vm_path(args, "/forwards");
	int status = cli_connect(cli, args);
	json_auto_t *items = status ? NULL : get_items(cli, path, &status);
	const json_t *one;
	size_t k;

	if (!items)
		return status;
	for (size_t i = 1; i < args->n_positional; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		struct client_request request = { .method = "DELETE" };
		autofree char *full = NULL;
		long port = 0;

		if (!parse_port(args->positional[i], strlen(args->positional[i]), &port))
			port = 0;
		json_array_foreach (items, k, one)
			if (port && json_int(one, "host_port") == port &&
			    asprintf(&full, "%s/%s", path, json_str(one, "id")) < 0)
				full = NULL;
		if (!full) {
			(void)fprintf(stderr, "banger: no forward from port '%s'\n",
				      args->positional[i]);
			return EXIT_FAILED;
		}
		request.path = full;
		if (!cli_request(cli, &request, &reply, &status))
			return status;
	}
	return 0;
}

/* --- one connection --- */

struct copy {
	int fd;
	char input[COPY_SIZE]; /* of ours, not yet taken by the server */
	size_t len;
	size_t at;
	bool input_over;
};

static void read_input(struct copy *c)
{
	ssize_t n = read(STDIN_FILENO, c->input, sizeof(c->input));

	if (n < 0 && errno == EINTR)
		return;
	c->at = 0;
	c->len = n > 0 ? (size_t)n : 0;
	c->input_over = n <= 0;
	if (c->input_over)
		(void)shutdown(c->fd, SHUT_WR);
}

static bool send_input(struct copy *c)
{
	ssize_t n = send(c->fd, c->input + c->at, c->len - c->at, MSG_NOSIGNAL);

	if (n > 0)
		c->at += (size_t)n;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* 1: go on, 0: the other side has sent all, -1: it broke off or nobody reads us. */
static int take_output(const struct copy *c)
{
	char bytes[COPY_SIZE];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -1;
	if (n == 0)
		return 0;
	return write_all(STDOUT_FILENO, bytes, (size_t)n) < 0 ? -1 : 1;
}

static int copy_both_ways(struct cli *cli, int fd, const struct buf *rest)
{
	autofree struct copy *c = calloc(1, sizeof(*c));
	int r = 1;

	if (!c ||
	    (buf_len(rest) > 0 && write_all(STDOUT_FILENO, buf_bytes(rest), buf_len(rest)) < 0))
		return EXIT_FAILED;
	c->fd = fd;
	while (r > 0) {
		bool pending = c->at < c->len;
		struct pollfd p[] = {
			{ .fd = fd, .events = pending ? POLLIN | POLLOUT : POLLIN },
			{ .fd = pending || c->input_over ? -1 : STDIN_FILENO, .events = POLLIN },
			{ .fd = client_signal_fd(cli->client), .events = POLLIN },
		};

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[2].revents && client_sleep_ms(cli->client, 0) < 0)
			return 128 + client_signal(cli->client);
		if (p[1].revents)
			read_input(c);
		if (c->at < c->len && !send_input(c))
			r = -1;
		else if (p[0].revents & ~POLLOUT)
			r = take_output(c);
	}
	return r < 0 ? EXIT_FAILED : 0;
}

int tunnel_run(struct cli *cli, const char *vm, const char *port)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct buf rest CLEANUP(buf_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *name = client_escape(vm), *number = client_escape(port), *path = NULL;
	autoclose int fd = -1;
	int r;

	buf_init(&rest, WIRE_HEAD_MAX);
	if (!name || !number || asprintf(&path, "/vms/%s/tunnels/%s", name, number) < 0)
		return EXIT_FAILED;
	r = wire_open(cli->client, path, "tcp", &fd, &rest, &reply, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	return r == 0 ? cli_fail_reply(cli, &reply) : copy_both_ways(cli, fd, &rest);
}

int cmd_vm_tunnel(struct cli *cli, const struct args *args)
{
	int status = cli_connect(cli, args);

	return status ? status : tunnel_run(cli, args->positional[0], args->positional[1]);
}
