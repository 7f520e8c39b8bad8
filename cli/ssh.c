/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh into guests through the guest link. ssh itself is the client; this program is its
 * ProxyCommand, which sees to it over the link, before the connection begins, that guest and host
 * know each other's keys.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/ssh_home.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"
#include "lib/proc/proc.h"

enum {
	NAME_MAX_ = 63,
	PREPARE_S = 120,
	COMMAND_MAX = 1024 * 1024,
	SSH_WORDS = 2 * SSH_OPTIONS + 4
};

/* Exit statuses of the script. */
enum { NO_SERVER = 3, NO_LISTENER = 4, NO_KEYS = 5 };

/*
 * $1: public key, $2: port. The guest may be at the beginning of its boot, so sshd is waited for;
 * where the agent is PID 1 nobody else starts it.
 */
static const char prepare_script[] =
	"umask 077; PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
	"sshd=$(command -v sshd) || exit 3\n"
	"cd /root && mkdir -p .ssh && f=.ssh/authorized_keys || exit\n"
	"if ! grep -qxF \"$1\" $f 2>/dev/null; then\n"
	"  [ ! -s $f ] || [ -z \"$(tail -c 1 $f)\" ] || echo >>$f\n"
	"  printf '%s\\n' \"$1\" >>$f || exit\n"
	"fi\n"
	"hex=$(printf '%04X' \"$2\")\n"
	"listens() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | "
	"grep -q \"^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F]*:0000 0A \"; }\n"
	"pid1=$(readlink /proc/1/exe)\n" /* "/init (deleted)": the root was changed */
	"if [ \"$2\" = 22 ] && [ \"${pid1%% *}\" = /init ] && ! listens; then\n"
	"  k=/etc/ssh/ssh_host_ed25519_key\n"
	"  [ -s $k ] || ssh-keygen -q -t ed25519 -N '' -f $k >&2 </dev/null || exit\n"
	"  mkdir -p /run/sshd && chmod 755 /run/sshd && \"$sshd\" >/dev/null </dev/null || exit\n"
	"fi\n"
	"i=0; until listens; do [ $i -lt 100 ] || exit 4; i=$((i+1)); sleep 0.4; done\n"
	"cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null || exit 5\n";

/* --- the proxy --- */

/* "web.vm" and "web" -> "web". False for what is no name of a VM. */
static bool take_name(const char *host, char name[NAME_MAX_ + 1])
{
	size_t len = strlen(host);

	if (len > 3 && streq(host + len - 3, ".vm"))
		len -= 3;
	if (len == 0 || len > NAME_MAX_ ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-") < len)
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return true;
}

static int say_refused(const struct cli *cli, const char *name, const char *port,
		       const json_t *result)
{
	json_int_t code = json_int(result, "exit_code");

	if (code == NO_SERVER)
		cli_say(cli, ERR_STATE,
			"there is no SSH server in VM '%s' (no program sshd); install one there, "
			"take an image that has one (debian), or use: banger shell %s",
			name, name);
	else if (code == NO_LISTENER)
		cli_say(cli, ERR_GUEST,
			"nothing listens on port %s of VM '%s'; its SSH server may have failed to "
			"start: see banger vm logs %s, or look with banger shell %s",
			port, name, name, name);
	else if (code == NO_KEYS)
		cli_say(cli, ERR_GUEST, "VM '%s' has no SSH host keys in /etc/ssh", name);
	else
		cli_say(cli, ERR_GUEST, "VM '%s' could not be prepared for ssh: %.300s", name,
			json_is_true(json_object_get(result, "timed_out"))
				? "it took too long"
				: json_str(result, "stderr"));
	return EXIT_FAILED;
}

/* Our key into the guest, its host keys to us. */
static int exchange_keys(struct cli *cli, const struct ssh_home *home, const char *name,
			 const char *port)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *pub = NULL, *key = NULL, *path = NULL, *host = NULL;
	json_auto_t *body = NULL;
	struct client_request request = { .method = "POST" };
	size_t len;
	int status, r;

	if (asprintf(&pub, "%s.pub", home->key) < 0 || asprintf(&path, "/vms/%s/exec", name) < 0 ||
	    asprintf(&host, "%s.vm", name) < 0)
		return EXIT_FAILED;
	r = read_file(pub, COMMAND_MAX, &key, &len);
	if (r < 0) {
		(void)error_errno(&err, r, "read %.300s", pub);
		return cli_fail(cli, &err);
	}
	key[strcspn(key, "\n")] = '\0';
	body = json_pack("{s:[s, s, s, s, s, s], s:i}", "argv", "/bin/sh", "-c", prepare_script,
			 "prepare", key, port, "timeout_s", PREPARE_S);
	request.path = path;
	request.body = body;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (json_int(reply.json, "exit_code") != 0 || json_int(reply.json, "signal") != 0)
		return say_refused(cli, name, port, reply.json);
	r = ssh_home_pin(home, host, json_str(reply.json, "stdout"), &err);
	if (r < 0)
		return cli_fail(cli, &err);
	if (r == 0)
		cli_say(cli, ERR_GUEST, "VM '%s' has no SSH host keys in /etc/ssh", name);
	return r > 0 ? 0 : EXIT_FAILED;
}

static int open_home(struct cli *cli, const struct args *args, struct ssh_home *home)
{
	const char *folder = args->values[OPT_HOME];
	const char *server = args->values[OPT_SERVER];
	struct error err = ERROR_INIT;

	if (!folder && !server)
		server = secure_getenv("BANGER_SERVER");
	if (!folder && (!server || !*server)) {
		server = NULL;
		folder = secure_getenv("BANGER_HOME");
	}
	if (folder && !*folder)
		folder = NULL;
	return ssh_home_open(folder, server, home, &err) < 0 ? cli_fail(cli, &err) : 0;
}

/* Takes those that are there out of `hosts`. False when not all could be asked for. */
static bool keep_those_there(struct cli *cli, json_t *hosts)
{
	json_auto_t *there = json_object();
	autofree char *cursor = NULL;
	const json_t *one;
	size_t i;

	do {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		struct client_request request = { .method = "GET" };
		struct error ignored = ERROR_INIT;
		autofree char *path = NULL;

		if (asprintf(&path, "/vms?limit=1000&fields=name%s%s", cursor ? "&cursor=" : "",
			     cursor ? cursor : "") < 0)
			return false;
		request.path = path;
		if (client_do(cli->client, &request, &reply, &ignored) < 0 || reply.status != 200)
			return false;
		json_array_foreach (json_object_get(reply.json, "items"), i, one)
			(void)json_object_set_new(there, json_str(one, "name"), json_true());
		free(cursor);
		cursor = *json_str(reply.json, "next_cursor")
				 ? client_escape(json_str(reply.json, "next_cursor"))
				 : NULL;
	} while (cursor);
	for (i = json_array_size(hosts); i-- > 0;) {
		char name[NAME_MAX_ + 1];

		if (!take_name(json_string_value(json_array_get(hosts, i)), name) ||
		    json_object_get(there, name))
			(void)json_array_remove(hosts, i);
	}
	return true;
}

/*
 * Keys of VMs that somebody else deleted. The names are read before the VMs are asked for: what is
 * pinned from then on is of a VM that is there.
 */
static void forget_the_gone(struct cli *cli, const struct ssh_home *home, const char *name)
{
	json_auto_t *hosts = ssh_home_known(home);
	struct error ignored = ERROR_INIT;
	autofree char *host = NULL;

	if (asprintf(&host, "%s.vm", name) < 0)
		return;
	for (size_t i = json_array_size(hosts); i-- > 0;)
		if (streq(json_string_value(json_array_get(hosts, i)), host))
			(void)json_array_remove(hosts, i);
	if (json_array_size(hosts) > 0 && keep_those_there(cli, hosts) &&
	    json_array_size(hosts) > 0)
		(void)!ssh_home_drop(home, hosts, &ignored);
}

int cmd_ssh_proxy(struct cli *cli, const struct args *args)
{
	struct ssh_home home CLEANUP(ssh_home_done) = { .dir = NULL };
	const char *port = args->positional[1];
	char name[NAME_MAX_ + 1];
	int status;

	if (!take_name(args->positional[0], name) || strlen(port) > 5 ||
	    port[strspn(port, "0123456789")] || strtol(port, NULL, 10) < 1 ||
	    strtol(port, NULL, 10) > UINT16_MAX) {
		cli_say(cli, ERR_BAD_REQUEST, "'%.80s' port '%.20s' is no VM and port",
			args->positional[0], port);
		return EXIT_USAGE;
	}
	status = open_home(cli, args, &home);
	if (status == 0)
		status = cli_connect(cli, args);
	if (status == 0)
		forget_the_gone(cli, &home, name);
	if (status == 0)
		status = exchange_keys(cli, &home, name, port);
	return status ? status : tunnel_run(cli, name, port);
}

/* A VM that could not be deleted is asked for its keys again at the next connection. */
void ssh_forget(const struct args *args)
{
	struct error ignored = ERROR_INIT;

	for (size_t i = 0; i < args->n_positional; i++) {
		char name[NAME_MAX_ + 1];

		if (take_name(args->positional[i], name))
			(void)!ssh_home_forget(args->values[OPT_HOME], name, &ignored);
	}
}

/* --- ssh --- */

/* The words so that the guest's shell sees them as they are here. NULL when there are none. */
static char *command_line(const struct args *args)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	int r = 0;

	buf_init(&b, COMMAND_MAX);
	for (size_t i = 0; i < args->n_rest; i++) {
		r |= buf_append(&b, i ? " '" : "'", i ? 2 : 1);
		for (const char *p = args->rest[i]; *p; p++)
			r |= *p == '\'' ? buf_append(&b, "'\\''", 4) : buf_append(&b, p, 1);
		r |= buf_append(&b, "'", 1);
	}
	r |= buf_append(&b, "", 1);
	return r < 0 || args->n_rest == 0 ? NULL : strdup((const char *)buf_bytes(&b));
}

/* ssh has the terminal; what is typed there for it is not for us. */
static int run_ssh(struct cli *cli, const char *const *argv)
{
	static const int ours[] = { SIGINT, SIGQUIT };
	struct proc_spec spec = { .argv = argv,
				  .env = (const char *const *)environ,
				  .stdin_fd = STDIN_FILENO,
				  .stdout_fd = STDOUT_FILENO,
				  .stderr_fd = STDERR_FILENO };
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct error err = ERROR_INIT;
	int status = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		(void)sigaction(ours[i], &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	if (proc_spawn(&spec, &proc, &err) < 0)
		return cli_fail(cli, &err);
	(void)proc_wait(&proc, -1, -1, &status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cmd_vm_ssh(struct cli *cli, const struct args *args)
{
	struct ssh_home home CLEANUP(ssh_home_done) = { .dir = NULL };
	autofree char *program = proc_find_program("ssh"), *host = NULL, *command = NULL;
	char *options[SSH_OPTIONS] = { NULL };
	const char *argv[SSH_WORDS + 2] = { program };
	struct error err = ERROR_INIT;
	char name[NAME_MAX_ + 1];
	size_t n = 1;
	int status;

	if (!take_name(args->positional[0], name)) {
		cli_say(cli, ERR_BAD_REQUEST, "'%.80s' is no name of a VM", args->positional[0]);
		return EXIT_USAGE;
	}
	if (!program) {
		cli_say(cli, ERR_UNSUPPORTED,
			"ssh is not installed on this host (Debian: apt install openssh-client)");
		return EXIT_FAILED;
	}
	status = open_home(cli, args, &home);
	if (status)
		return status;
	command = command_line(args);
	if (asprintf(&host, "%s.vm", name) < 0)
		return EXIT_FAILED;
	if (ssh_home_options(&home, options, &err) < 0)
		status = cli_fail(cli, &err);
	for (size_t i = 0; i < SSH_OPTIONS; i++) {
		argv[n++] = "-o";
		argv[n++] = options[i];
	}
	argv[n++] = "--";
	argv[n++] = host;
	argv[n] = command;
	if (status == 0)
		status = run_ssh(cli, argv);
	for (size_t i = 0; i < SSH_OPTIONS; i++)
		free(options[i]);
	return status;
}

/* --- ssh-config --- */

int cmd_ssh_config(struct cli *cli, const struct args *args)
{
	struct ssh_home home CLEANUP(ssh_home_done) = { .dir = NULL };
	bool install = args_given(args, OPT_INSTALL);
	struct error err = ERROR_INIT;
	bool changed;
	int status;

	if (install && args_given(args, OPT_UNINSTALL)) {
		cli_say(cli, ERR_BAD_REQUEST, "--install and --uninstall exclude each other");
		return EXIT_USAGE;
	}
	status = open_home(cli, args, &home);
	if (status)
		return status;
	if (!args_given(args, OPT_UNINSTALL) && ssh_home_write_config(&home, &err) < 0)
		return cli_fail(cli, &err);
	if (!install && !args_given(args, OPT_UNINSTALL)) {
		(void)printf("Include \"%s\"\n", home.config);
		if (cli->progress)
			(void)fprintf(stderr, "put this line at the top of ~/.ssh/config, or: "
					      "banger ssh-config --install\n");
		return 0;
	}
	if (ssh_include_change(&home, install, &changed, &err) < 0)
		return cli_fail(cli, &err);
	if (cli->progress)
		(void)fprintf(stderr, "~/.ssh/config %s\n",
			      !changed  ? "is so already"
			      : install ? "includes it now: ssh NAME.vm"
					: "does not include it any more");
	return 0;
}
