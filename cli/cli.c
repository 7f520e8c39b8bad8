/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/output.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/home/home.h"
#include "lib/json/json.h"

#define SYSTEM_SOCKET "/run/banger/server.sock"

/* One line of JSON on standard error. */
static void print_problem(const json_t *problem)
{
	autofree char *text = json_text(problem);

	(void)fprintf(stderr, "%s\n", text ? text : "{}");
}

/* What this program has to say, in words or as a problem document. `remedy` may be NULL; of several
 * lines each is a way of its own. */
static void say(bool json, enum error_code code, const char *msg, const char *remedy)
{
	json_auto_t *problem = NULL;

	if (json) {
		problem = json_pack("{s:s, s:s, s:s, s:s*}", "title", "banger failed", "detail",
				    msg, "code", error_code_name(code), "remedy", remedy);
		if (problem)
			print_problem(problem);
		return;
	}
	(void)fprintf(stderr, "banger: %s\n", msg);
	while (remedy && *remedy) {
		int len = (int)strcspn(remedy, "\n");

		(void)fprintf(stderr, "try: %.*s\n", len, remedy);
		remedy += len + (remedy[len] == '\n');
	}
}

void cli_say(const struct cli *cli, enum error_code code, const char *fmt, ...)
{
	autofree char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n >= 0)
		say(cli->json, code, text, NULL);
}

int cli_fail(struct cli *cli, const struct error *err)
{
	int sig = cli->client ? client_signal(cli->client) : 0;
	const char *remedy = NULL;

	if (err->code == ERR_CANCELLED && sig)
		return 128 + sig;
	if (err->sys == EPIPE)
		return 128 + SIGPIPE;
	if (err->code == ERR_UNAVAILABLE && err->sys == EACCES)
		remedy = "as the user that the server runs as, or one of the socket's group\n"
			 "--home DIR or --server ADDRESS, for another server";
	else if (err->code == ERR_UNAVAILABLE)
		remedy = "banger-server, in the background or another terminal "
			 "(in a source tree: ./deploy/quickstart)\n"
			 "--home DIR or --server ADDRESS, when it runs elsewhere";
	say(cli->json, err->code, err->msg, remedy);
	return EXIT_FAILED;
}

static void show_line(const char *before, const char *text)
{
	autofree char *clean = malloc(strlen(text) + 1);

	if (clean)
		(void)fprintf(stderr, "%s%s\n", before,
			      text_harmless(text, clean, strlen(text) + 1));
}

void cli_show_problem(const struct cli *cli, const json_t *problem)
{
	const json_t *errors = json_object_get(problem, "errors"), *item;
	const char *detail = json_str(problem, "detail");
	size_t i;

	if (cli->json) {
		print_problem(problem);
		return;
	}
	show_line("banger: ", *detail ? detail : json_str(problem, "title"));
	json_array_foreach (errors, i, item) {
		const char *where = json_str(item, "pointer");
		autofree char *line = NULL;

		if (!*where)
			where = json_str(item, "parameter");
		if (asprintf(&line, "%s%s%s", where, *where ? ": " : "", json_str(item, "detail")) <
		    0) {
			line = NULL;
			continue;
		}
		/* A problem with one value may say it all in its detail. */
		if (!streq(line, detail))
			show_line("  ", line);
		if (*json_str(item, "remedy"))
			show_line("  try: ", json_str(item, "remedy"));
	}
	if (*json_str(problem, "remedy"))
		show_line("try: ", json_str(problem, "remedy"));
	if (*json_str(problem, "operation"))
		show_line("operation: ", json_str(problem, "operation"));
}

int cli_fail_reply(const struct cli *cli, const struct client_reply *reply)
{
	autofree char *clean = reply->text ? malloc(reply->text_len + 1) : NULL;

	if (json_is_object(reply->json))
		cli_show_problem(cli, reply->json);
	else if (clean && reply->text[0])
		cli_say(cli, ERR_UPSTREAM, "%s",
			text_harmless(reply->text, clean, reply->text_len + 1));
	else
		cli_say(cli, ERR_UPSTREAM, "the server answered with HTTP status %d",
			reply->status);
	return EXIT_FAILED;
}

bool cli_request(struct cli *cli, const struct client_request *request,
		 struct client_reply *ret_reply, int *ret_status)
{
	struct error err = ERROR_INIT;

	if (client_do(cli->client, request, ret_reply, &err) < 0) {
		*ret_status = cli_fail(cli, &err);
		return false;
	}
	if (ret_reply->status >= 400) {
		*ret_status = cli_fail_reply(cli, ret_reply);
		return false;
	}
	return true;
}

json_t *cli_list(struct cli *cli, const char *path, const char *query, int *ret_status)
{
	json_auto_t *all = json_array();
	autofree char *cursor = NULL;

	do {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		autofree char *page = NULL;
		const char *next;
		int n;

		n = asprintf(&page, "%s?limit=1000%s%s%s", path, query, cursor ? "&cursor=" : "",
			     cursor ? cursor : "");
		if (n < 0)
			return NULL;
		if (!cli_request(cli, &(struct client_request){ .method = "GET", .path = page },
				 &reply, ret_status))
			return NULL;
		if (json_array_extend(all, json_object_get(reply.json, "items")) < 0) {
			cli_say(cli, ERR_UPSTREAM, "%s is no list", path);
			*ret_status = EXIT_FAILED;
			return NULL;
		}
		next = json_str(reply.json, "next_cursor");
		free(cursor);
		cursor = *next ? client_escape(next) : NULL;
	} while (cursor);
	return json_incref(all);
}

json_t *cli_items(struct cli *cli, const char *path, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET", .path = path };

	if (!cli_request(cli, &request, &reply, ret_status))
		return NULL;
	return json_incref(json_object_get(reply.json, "items"));
}

/* A socket in a folder that others can write to could be anybody's. */
static bool folder_is_trusted(const char *socket_path)
{
	autofree char *folder = strdup(socket_path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	struct stat st;

	if (!slash || slash == folder)
		return false;
	*slash = '\0';
	return lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
	       (st.st_uid == geteuid() || st.st_uid == 0) && (st.st_mode & 0022) == 0;
}

int cli_find_server(const char *server, const char *home, char **ret_address, struct error *err)
{
	struct home paths CLEANUP(home_done) = { 0 };
	const char *env_server = secure_getenv("BANGER_SERVER");
	const char *env_home = secure_getenv("BANGER_HOME");
	autofree char *socket_path = NULL;
	int r;

	if (!server && !home && env_server && *env_server)
		server = env_server;
	if (server) {
		*ret_address = strdup(server);
		return *ret_address ? 0 : error_errno(err, -ENOMEM, "server address");
	}
	r = home_resolve(home, &paths, err);
	if (r < 0)
		return r;
	socket_path = home_socket(&paths);
	if (!socket_path)
		return error_errno(err, -ENOMEM, "server address");
	if (!home && !(env_home && *env_home) && access(socket_path, F_OK) < 0 &&
	    (access(SYSTEM_SOCKET, F_OK) == 0 || errno == EACCES)) {
		*ret_address = strdup(SYSTEM_SOCKET);
		return *ret_address ? 0 : error_errno(err, -ENOMEM, "server address");
	}
	if (access(socket_path, F_OK) == 0 && !folder_is_trusted(socket_path))
		return error_set(err, ERR_FORBIDDEN,
				 "the folder of %s is not yours alone: not used", socket_path);
	*ret_address = TAKE_PTR(socket_path);
	return 0;
}

int cli_connect(struct cli *cli, const struct args *args)
{
	const char *token = secure_getenv("BANGER_TOKEN");
	struct error err = ERROR_INIT;
	autofree char *address = NULL;

	if (cli_find_server(args->values[OPT_SERVER], args->values[OPT_HOME], &address, &err) < 0 ||
	    client_new(address, token && *token ? token : NULL, &cli->client, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

static int usage_error(const struct args *args, const struct error *err)
{
	const char *path = args->command ? args->command->path : "";
	char remedy[64];

	(void)snprintf(remedy, sizeof(remedy), "banger help%s%s", *path ? " " : "", path);
	say(args_given(args, OPT_JSON), err->code, err->msg, remedy);
	return EXIT_USAGE;
}

/*
 * A standard descriptor that was closed is given to the next socket or file, which would then get
 * our output. In its place comes one that can't be used in its direction: what is written to it
 * fails, as it should. A reader that leaves is an error as others are, not our end: a VM may have
 * to be deleted.
 */
static void hold_standard_descriptors(void)
{
	static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			_exit(EXIT_OURS);
	}
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
}

int cli_main(int argc, char *const argv[])
{
	static char word[] = "version";
	static char *const version[] = { word, word, NULL };
	struct cli cli = { 0 };
	struct error err = ERROR_INIT;
	const char *group = NULL;
	struct args args;
	int status;

	hold_standard_descriptors();
	if (argc == 2 && streq(argv[1], "--version"))
		argv = version;
	if (args_parse(argc - 1, argv + 1, &args, &group, &err) < 0)
		return usage_error(&args, &err);
	if (!args.command)
		return help_overview(group, args_given(&args, OPT_HELP) || argc == 1 || group);
	if (args_given(&args, OPT_HELP))
		return help_command(args.command);
	cli.json = args_given(&args, OPT_JSON);
	cli.quiet = args_given(&args, OPT_QUIET);
	cli.progress = isatty(STDERR_FILENO) && !cli.quiet && !cli.json;
	cli.colour = isatty(STDOUT_FILENO) && !secure_getenv("NO_COLOR");
	status = args.command->run(&cli, &args);
	client_free(cli.client);
	if (fflush(stdout) == EOF && status == 0) {
		int cause = errno;

		if (cause == EPIPE)
			return 128 + SIGPIPE;
		cli_say(&cli, ERR_INTERNAL, "standard output: %s", strerrordesc_np(cause));
		status = EXIT_FAILED;
	}
	return status;
}
