/* SPDX-License-Identifier: Apache-2.0 */
/* From a START document to a process with its pipes or its terminal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/exec.h"
#include "agent/service/spawn.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { ENV_DEFAULTS = 6, PATHS_MAX = 64 };

struct start {
	const json_t *argv;
	const json_t *env;
	const char *cwd;
	const char *user;
	bool tty;
	uint32_t rows;
	uint32_t cols;
	uint32_t timeout_ms;
	bool stdin_open;
};

static const struct json_field start_fields[] = {
	{ "argv", JSON_FIELD_VALUE, offsetof(struct start, argv), true },
	{ "env", JSON_FIELD_VALUE, offsetof(struct start, env), false },
	{ "cwd", JSON_FIELD_STRING, offsetof(struct start, cwd), false },
	{ "user", JSON_FIELD_STRING, offsetof(struct start, user), false },
	{ "tty", JSON_FIELD_BOOL, offsetof(struct start, tty), false },
	{ "rows", JSON_FIELD_U32, offsetof(struct start, rows), false },
	{ "cols", JSON_FIELD_U32, offsetof(struct start, cols), false },
	{ "timeout_ms", JSON_FIELD_U32, offsetof(struct start, timeout_ms), false },
	{ "stdin", JSON_FIELD_BOOL, offsetof(struct start, stdin_open), false },
};

/* --- arguments and environment: lists of strings that end with NULL --- */

static void free_list(char ***list)
{
	for (char **p = *list; p && *p; p++)
		free(*p);
	free(*list);
}

static int make_argv(const json_t *array, char ***ret_argv, struct error *err)
{
	CLEANUP(free_list)
	char **argv = NULL;
	size_t n = json_array_size(array);

	if (!json_is_array(array) || n == 0)
		return error_set(err, ERR_INVALID, "argv is not a list of strings");
	argv = calloc(n + 1, sizeof(char *));
	for (size_t i = 0; argv && i < n; i++) {
		const char *s = json_string_value(json_array_get(array, i));

		if (!s)
			return error_set(err, ERR_INVALID, "argv is not a list of strings");
		argv[i] = strdup(s);
		if (!argv[i])
			return error_errno(err, -ENOMEM, "take the arguments");
	}
	if (!argv)
		return error_errno(err, -ENOMEM, "take the arguments");
	*ret_argv = TAKE_PTR(argv);
	return 0;
}

static bool add_env(char **env, size_t *n, const char *name, const char *value)
{
	if (asprintf(&env[*n], "%s=%s", name, value) < 0) {
		env[*n] = NULL;
		return false;
	}
	(*n)++;
	return true;
}

static int make_env(const struct start *start, const struct user *user, char ***ret_env,
		    struct error *err)
{
	const struct {
		const char *name;
		const char *value;
	} defaults[ENV_DEFAULTS] = {
		{ "PATH", DEFAULT_PATH }, { "HOME", user->home },
		{ "USER", user->name },   { "LOGNAME", user->name },
		{ "SHELL", user->shell }, { "TERM", start->tty ? "xterm-256color" : NULL },
	};
	json_t *given = (json_t *)(uintptr_t)start->env; /* its iterator takes no const */
	size_t max = json_object_size(given) + ENV_DEFAULTS + 1;
	CLEANUP(free_list)
	char **env = calloc(max, sizeof(char *));
	const char *name;
	json_t *value;
	size_t n = 0;
	bool ok = env != NULL;

	for (size_t i = 0; ok && i < ENV_DEFAULTS; i++)
		if (defaults[i].value && !json_object_get(given, defaults[i].name))
			ok = add_env(env, &n, defaults[i].name, defaults[i].value);
	json_object_foreach (given, name, value) {
		if (!json_is_string(value) || *name == '\0' || strchr(name, '='))
			return error_set(err, ERR_INVALID, "env is not an object of strings");
		ok = ok && add_env(env, &n, name, json_string_value(value));
	}
	if (!ok)
		return error_errno(err, -ENOMEM, "take the environment");
	*ret_env = TAKE_PTR(env);
	return 0;
}

/* The places where a program may be: its own path, or below each folder of PATH. */
static int make_paths(const char *program, char *const *env, char ***ret_paths, struct error *err)
{
	CLEANUP(free_list)
	char **paths = calloc(PATHS_MAX + 1, sizeof(char *));
	const char *path = DEFAULT_PATH;
	size_t n = 0;
	bool ok = paths != NULL;

	for (; env && *env; env++)
		if (str_has_prefix(*env, "PATH="))
			path = *env + strlen("PATH=");
	if (ok && strchr(program, '/')) {
		paths[0] = strdup(program);
		ok = paths[0] != NULL;
	} else {
		while (ok && n < PATHS_MAX) {
			size_t len = strcspn(path, ":");

			ok = asprintf(&paths[n], "%.*s%s%s", (int)len, path, len ? "/" : "./",
				      program) >= 0;
			if (!ok)
				paths[n] = NULL;
			n++;
			if (path[len] == '\0')
				break;
			path += len + 1;
		}
	}
	if (!ok)
		return error_errno(err, -ENOMEM, "search the program");
	*ret_paths = TAKE_PTR(paths);
	return 0;
}

/* --- descriptors --- */

struct ends {
	int in; /* of the program */
	int out;
	int err;
};

/* Opened once: most programs get it. */
static int null_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd;
}

static void ends_close(struct ends *ends)
{
	if (ends->in != null_fd())
		close_keep_errno(ends->in);
	if (ends->out != ends->in)
		close_keep_errno(ends->out);
	if (ends->err != ends->out && ends->err != ends->in)
		close_keep_errno(ends->err);
}

static int open_terminal(struct exec *exec, const struct start *start, struct ends *ret_ends)
{
	autoclose int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct winsize size = { .ws_row = (uint16_t)start->rows, .ws_col = (uint16_t)start->cols };
	int unlock = 0;
	int slave;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	if (start->rows && start->cols)
		(void)ioctl(master, TIOCSWINSZ, &size);
	exec->tty = true;
	exec->in_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	exec->out.fd = take_fd(&master);
	*ret_ends = (struct ends){ .in = slave, .out = slave, .err = slave };
	return 0;
}

/* A pipe whose end `ours` (0: read) is ours and does not block. */
static int open_pipe(int ours, int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(fds[ours], F_SETFL, O_NONBLOCK) < 0) {
		int r = -errno;

		close_keep_errno(fds[0]);
		close_keep_errno(fds[1]);
		return r;
	}
	*ret_ours = fds[ours];
	*ret_theirs = fds[1 - ours];
	return 0;
}

static int open_pipes(struct exec *exec, const struct start *start, struct ends *ret_ends)
{
	int r;

	r = open_pipe(0, &exec->out.fd, &ret_ends->out);
	if (r == 0)
		r = open_pipe(0, &exec->err.fd, &ret_ends->err);
	if (r == 0 && start->stdin_open)
		r = open_pipe(1, &exec->in_fd, &ret_ends->in);
	if (r == 0 && !start->stdin_open) {
		ret_ends->in = null_fd();
		r = ret_ends->in < 0 ? -errno : 0;
	}
	return r;
}

/* --- start --- */

static int spawn_error(struct error *err, int r, enum spawn_stage stage, const char *program,
		       const char *cwd, const char *user)
{
	switch (stage) {
	case SPAWN_CLONE:
		return error_errno(err, r, "make a process");
	case SPAWN_SESSION:
		return error_errno(err, r, "set up a session");
	case SPAWN_USER:
		return error_errno(err, r, "/user: become user %s", user);
	case SPAWN_CWD:
		return error_errno(err, r, "/cwd: change to the folder %.200s", cwd);
	case SPAWN_EXEC:
	default:
		return error_errno(err, r, "/argv/0: run %.200s", program);
	}
}

/* Each set*id call makes the kernel copy credentials: not for root, which the agent is already. */
static bool is_other_user(const struct user *user)
{
	return getuid() == 0 && (user->uid != 0 || user->gid != 0 || user->n_groups > 0 ||
				 getegid() != 0 || getgroups(0, NULL) != 0);
}

/* A path that ends with '/'. What can't be made is not there, which the program's start then tells.
 */
static void make_folders(const char *path)
{
	autofree char *copy = strdup(path);

	for (char *p = copy; p && *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = '\0';
		(void)mkdir(copy, 0755);
		*p = '/';
	}
}

static int launch(struct exec *exec, const struct start *start, struct error *err)
{
	CLEANUP(free_list)
	char **argv = NULL;
	CLEANUP(free_list)
	char **env = NULL;
	CLEANUP(free_list)
	char **paths = NULL;
	CLEANUP(ends_close)
	struct ends ends = { -1, -1, -1 };
	struct spawn_spec spec;
	enum spawn_stage stage;
	struct user user;
	const char *cwd;
	int r;

	if (user_find("", start->user, &user, err) < 0)
		return error_wrap(err, "/user");
	if (make_argv(start->argv, &argv, err) < 0 || make_env(start, &user, &env, err) < 0 ||
	    !argv || make_paths(argv[0], env, &paths, err) < 0)
		return error_to_errno(err);
	r = start->tty ? open_terminal(exec, start, &ends) : open_pipes(exec, start, &ends);
	if (r < 0)
		return error_errno(err, r, "open pipes or a terminal");
	cwd = start->cwd;
	if (!cwd || *cwd == '\0')
		cwd = access(user.home, X_OK) == 0 ? user.home : "/";
	else if (cwd[strlen(cwd) - 1] == '/' && access(cwd, F_OK) < 0)
		make_folders(cwd);
	spec = (struct spawn_spec){
		.paths = (const char *const *)paths,
		.argv = (const char *const *)argv,
		.env = (const char *const *)env,
		.cwd = cwd,
		.user = &user,
		.change_user = is_other_user(&user),
		.tty = start->tty,
		.in = ends.in,
		.out = ends.out,
		.err = ends.err,
	};
	r = spawn_program(&spec, &stage);
	if (r < 0)
		return spawn_error(err, r, stage, argv[0], cwd, user.name);
	exec->pid = r;
	r = exec_begin(exec, start->timeout_ms);
	if (r < 0)
		(void)kill(-exec->pid, SIGKILL);
	return r < 0 ? error_errno(err, r, "watch the program") : 0;
}

int exec_start(struct agent *agent, const char *id, const char *text, size_t len,
	       struct exec **ret_exec, struct error *err)
{
	json_auto_t *document = json_parse(text, len, err);
	struct start start = { .argv = NULL };
	struct exec *exec;
	int r;

	if (!document)
		return error_to_errno(err);
	r = json_decode(document, start_fields, ARRAY_SIZE(start_fields), &start, err);
	if (r < 0)
		return r;
	if (start.rows > UINT16_MAX || start.cols > UINT16_MAX)
		return error_set(err, ERR_INVALID, "a terminal can't be that large");
	exec = exec_new(agent, id);
	if (!exec)
		return error_set(err, ERR_NO_ROOM, "too many programs run at once");
	r = launch(exec, &start, err);
	if (r < 0) {
		exec_free(exec);
		return r;
	}
	*ret_exec = exec;
	return 0;
}
