/* SPDX-License-Identifier: Apache-2.0 */
/* What a confined process can and can't do, tried by a shell. */
#include "server/vmm/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

enum { END_MS = 20 * 1000 };

struct folder {
	char path[64];
	char readable[96];
	char writable[96];
	char secret[96];
};

static void make_file(const char *path)
{
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text\n", 5), 5);
}

static int setup(void **state)
{
	static struct folder f;

	(void)snprintf(f.path, sizeof(f.path), "/tmp/banger-confine-XXXXXX");
	assert_non_null(mkdtemp(f.path));
	(void)snprintf(f.readable, sizeof(f.readable), "%s/readable", f.path);
	(void)snprintf(f.writable, sizeof(f.writable), "%s/writable", f.path);
	(void)snprintf(f.secret, sizeof(f.secret), "%s/secret", f.path);
	make_file(f.readable);
	make_file(f.writable);
	make_file(f.secret);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	const struct folder *f = *state;

	return remove_tree_at(AT_FDCWD, f->path);
}

/* Exit status of the script with descriptor 3 on `fd`; $1 is the folder, $2 is `arg`. */
static int confined(const struct folder *f, const char *script, const char *arg, int fd)
{
	const char *const argv[] = { "/bin/bash", "-c", script, "bash", f->path, arg, NULL };
	const struct proc_fd fds[] = { { .ours = fd, .theirs = 3 } };
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct confine_rules rules = { .n = 0 };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;
	int status;

	confine_allow_system(&rules);
	confine_allow(&rules, f->readable, CONFINE_READ);
	confine_allow(&rules, f->writable, CONFINE_WRITE);
	confine_allow(&rules, "/no/such/file", CONFINE_READ);
	spec.argv = argv;
	spec.fds = fds;
	spec.n_fds = fd >= 0 ? 1 : 0;
	if (confine_spawn(&spec, &rules, &proc, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(proc_wait(&proc, END_MS, -1, &status), 0);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void only_files_of_the_rules_open(void **state)
{
	static const struct {
		const char *script;
		bool works;
	} cases[] = {
		{ "read -r x <\"$1/readable\"", true },
		{ "read -r x <\"$1/writable\"", true },
		{ "echo x >>\"$1/writable\"", true },
		{ "echo x >>\"$1/readable\"", false },
		{ "read -r x <\"$1/secret\"", false },
		{ "echo x >>\"$1/secret\"", false },
		{ "echo x >\"$1/new\"", false },
		{ "rm \"$1/writable\"", false },
		{ "mv \"$1/writable\" \"$1/secret\"", false },
		{ "ls \"$1\"", false },
		{ "read -r x </proc/self/stat", true },
		{ "echo x >/dev/null", true },
		{ "ls /root /home", false },
	};
	const struct folder *f = *state;

	if (confine_version() == 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if ((confined(f, cases[i].script, NULL, -1) == 0) != cases[i].works)
			fail_msg("%s", cases[i].script);
	}
	/* What is started stays inside; who starts it does not get in. */
	assert_int_not_equal(confined(f, "/bin/cat \"$1/secret\"", NULL, -1), 0);
	assert_int_equal(access(f->secret, R_OK), 0);
	make_file(f->secret);
}

static void descriptors_work_as_ever(void **state)
{
	const struct folder *f = *state;
	autoclose int fd = open(f->secret, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(confined(f, "read -r x <&3 && [ \"$x\" = text ]", NULL, fd), 0);
}

static void no_tcp_and_no_signals_to_the_outside(void **state)
{
	const struct folder *f = *state;
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	char text[32];

	if (confine_version() < 4)
		skip();
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	(void)snprintf(text, sizeof(text), "%u", ntohs(addr.sin_port));
	assert_int_not_equal(confined(f, "exec 4<>/dev/tcp/127.0.0.1/$2", text, -1), 0);
	if (confine_version() < 6)
		return;
	(void)snprintf(text, sizeof(text), "%d", (int)getpid());
	assert_int_not_equal(confined(f, "kill -0 $2", text, -1), 0);
}

static void a_missing_program_is_named(void **state)
{
	const char *const argv[] = { "/usr/no-such-program", NULL };
	struct confine_rules rules = { .n = 0 };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc proc = PROC_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	confine_allow_system(&rules);
	spec.argv = argv;
	assert_int_equal(confine_spawn(&spec, &rules, &proc, &err), -ENOENT);
	assert_string_equal(err.msg, "start /usr/no-such-program: No such file or directory");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(only_files_of_the_rules_open),
		TEST(descriptors_work_as_ever),
		TEST(no_tcp_and_no_signals_to_the_outside),
		cmocka_unit_test(a_missing_program_is_named),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
