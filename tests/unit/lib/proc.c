/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

static int run_sh(const char *script, const struct proc_run *run, struct proc_result *ret_result,
		  struct error *err)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;

	spec.argv = argv;
	return proc_run(&spec, run, ret_result, err);
}

static void output_status_and_input_come_through(void **state)
{
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error err;
	char how[64];

	(void)state;
	run.input = "in";
	run.input_len = 2;
	assert_int_equal(run_sh("cat; echo bad >&2; exit 3", &run, &result, &err), 0);
	assert_string_equal(result.out, "in");
	assert_string_equal(result.err, "bad\n");
	assert_string_equal(proc_status_format(result.status, how, sizeof(how)), "exit status 3");
	proc_result_done(&result);
	assert_int_equal(run_sh("kill -9 $$", &run, &result, &err), 0);
	assert_string_equal(proc_status_format(result.status, how, sizeof(how)),
			    "killed by SIGKILL");
	proc_result_done(&result);
}

static void output_is_capped_but_read_to_the_end(void **state)
{
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error err;

	(void)state;
	run.output_max = 1000;
	assert_int_equal(
		run_sh("head -c 1000000 /dev/zero | tr '\\0' x; exit 7", &run, &result, &err), 0);
	assert_int_equal(result.out_len, 1000);
	assert_int_equal(result.status, 7 << 8);
	proc_result_done(&result);
}

static void a_program_past_its_deadline_is_killed(void **state)
{
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error err = ERROR_INIT;

	(void)state;
	run.timeout_ms = 50;
	assert_int_equal(run_sh("exec sleep 30", &run, &result, &err), -ETIMEDOUT);
	assert_int_equal(err.code, ERR_TIMEOUT);
}

static void a_missing_program_is_named(void **state)
{
	const char *const argv[] = { "/no/such/program", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc proc = PROC_INIT;
	struct error err;

	(void)state;
	spec.argv = argv;
	assert_int_equal(proc_spawn(&spec, &proc, &err), -ENOENT);
	assert_string_equal(err.msg, "start /no/such/program: No such file or directory");
	assert_int_equal(proc.pidfd, -1);
}

/* The child sees exactly the descriptors it was given, whatever their numbers here were. */
static void only_the_given_descriptors_are_inherited(void **state)
{
	static const char script[] =
		"cat <&5; for f in /proc/self/fd/*; do echo -n ${f##*/},; done";
	const char *const argv[] = { "/bin/bash", "-c", script, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct proc_fd fd;
	struct error err;
	int leak = fcntl(0, F_DUPFD, 40);
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "five:", 5), 5);
	close(p[1]);
	fd = (struct proc_fd){ .ours = p[0], .theirs = 5 };
	spec.argv = argv;
	spec.fds = &fd;
	spec.n_fds = 1;
	assert_int_equal(proc_run(&spec, &run, &result, &err), 0);
	assert_int_equal(strncmp(result.out, "five:0,1,2,", 11), 0);
	assert_null(strstr(result.out, "40"));
	assert_null(strstr(result.out, ",4,"));
	proc_result_done(&result);
	close(p[0]);
	close(leak);
}

static void a_recycled_pid_is_not_adopted(void **state)
{
	const char *const argv[] = { "/bin/sleep", "30", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct proc again = PROC_INIT;
	struct error err;

	(void)state;
	spec.argv = argv;
	assert_int_equal(proc_spawn(&spec, &proc, &err), 0);
	assert_int_equal(proc_adopt(proc.pid, proc.start_time + 1, &again), -ESRCH);
	assert_int_equal(proc_adopt(proc.pid, proc.start_time, &again), 0);
	assert_int_equal(proc_signal(&again, SIGTERM), 0);
	proc_done(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_status_and_input_come_through),
		cmocka_unit_test(output_is_capped_but_read_to_the_end),
		cmocka_unit_test(a_program_past_its_deadline_is_killed),
		cmocka_unit_test(a_missing_program_is_named),
		cmocka_unit_test(only_the_given_descriptors_are_inherited),
		cmocka_unit_test(a_recycled_pid_is_not_adopted),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
