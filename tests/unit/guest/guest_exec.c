/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/macro.h"
#include "tests/unit/guest/rig.h"

static void output_and_exit_code_arrive(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "a", "echo out; echo err >&2; exit 7");
	rig_run(&rig, ran_ended, &ran);
	assert_string_equal(ran.out, "out\n");
	assert_string_equal(ran.err, "err\n");
	assert_true(ran.end.exited);
	assert_int_equal(ran.end.exit_code, 7);
	assert_false(ran.end.timed_out);
	ran_done(&ran);
	rig_stop(&rig);
}

static void what_can_not_be_started_says_why(void **state)
{
	static const struct {
		const char *program;
		const char *cwd;
		const char *user;
		int sys;
	} cases[] = {
		{ "/no/such/program", NULL, NULL, ENOENT },
		{ "no-such-program", NULL, NULL, ENOENT },
		{ "/etc/passwd", NULL, NULL, EACCES },
		{ "true", "/no/such/folder", NULL, ENOENT },
		{ "true", NULL, "no-such-user", EINVAL },
	};
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *argv = json_pack("[s]", cases[i].program);
		const struct guest_exec_spec spec = { .argv = argv,
						      .cwd = cases[i].cwd,
						      .user = cases[i].user };
		struct ran ran = { .exec = NULL };

		ran_start_spec(&rig, &ran, "same", &spec);
		rig_run(&rig, ran_ended, &ran);
		assert_false(ran.end.exited);
		assert_int_equal(ran.end.error.code, ERR_INVALID);
		assert_int_equal(ran.end.error.sys, cases[i].sys);
		ran_done(&ran);
	}
	assert_int_equal(rig.up, 1);
	rig_stop(&rig);
}

static void environment_folder_and_path_are_as_asked(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };
	json_auto_t *argv = json_pack("[s, s, s]", "sh", "-c",
				      "pwd; echo \"$A|$HOME|$USER|$PATH\"; read x; echo \"<$x>\"");
	json_auto_t *env = json_pack("{s:s, s:s}", "A", "b c", "PATH", "/usr/bin:/bin");
	const struct guest_exec_spec spec = { .argv = argv, .env = env, .cwd = "/usr" };

	(void)state;
	rig_start(&rig);
	ran_start_spec(&rig, &ran, "a", &spec);
	rig_run(&rig, ran_ended, &ran);
	assert_string_equal(ran.out, "/usr\nb c|/root|root|/usr/bin:/bin\n<>\n");
	ran_done(&ran);
	rig_stop(&rig);
}

static void input_goes_through_in_full(void **state)
{
	enum { SIZE = 3 * 1000 * 1000 };
	struct rig rig;
	autofree char *input = malloc(SIZE);
	struct ran ran = { .input = input, .input_left = SIZE };

	(void)state;
	assert_non_null(input);
	for (size_t i = 0; i < SIZE; i++)
		input[i] = (char)(i * 31 / 7);
	rig_start(&rig);
	ran_start(&rig, &ran, "cat", "cat");
	rig_run(&rig, ran_ended, &ran);
	assert_int_equal(ran.out_len, SIZE);
	assert_memory_equal(ran.out, input, SIZE);
	assert_int_equal(ran.end.exit_code, 0);
	ran_done(&ran);
	rig_stop(&rig);
}

static void a_program_that_reads_nothing_can_still_be_signalled(void **state)
{
	enum { SIZE = 1000 * 1000 };
	struct rig rig;
	autofree char *input = calloc(1, SIZE);
	struct ran ran = { .input = input, .input_left = SIZE };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "a", "exec sleep 1000");
	guest_exec_signal(ran.exec, SIGUSR1);
	rig_run(&rig, ran_ended, &ran);
	assert_false(ran.end.exited);
	assert_int_equal(ran.end.signal, SIGUSR1);
	ran_done(&ran);
	rig_stop(&rig);
}

/* What `seq 1 LAST` prints, at *at of the output; *at is moved behind it. */
static void assert_counted(const struct ran *ran, size_t *at, int last)
{
	for (int i = 1; i <= last; i++) {
		char line[16];
		size_t len = (size_t)snprintf(line, sizeof(line), "%d\n", i);

		assert_true(*at + len <= ran->out_len);
		assert_memory_equal(ran->out + *at, line, len);
		*at += len;
	}
}

/* Far more than any buffer on the way; the reader stops again and again. */
static void a_slow_reader_gets_all_in_order(void **state)
{
	struct rig rig;
	struct ran ran = { .keep = 100 * 1000 };
	size_t at = 0;

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "a", "i=0; while [ $i -lt 5 ]; do seq 1 50000; i=$((i+1)); done");
	rig_run(&rig, ran_ended, &ran);
	assert_true(ran.pauses > 10);
	for (int round = 0; round < 5; round++)
		assert_counted(&ran, &at, 50000);
	assert_int_equal(at, ran.out_len);
	ran_done(&ran);
	rig_stop(&rig);
}

struct breaking {
	struct ran *ran;
	size_t next; /* break when so much has come */
	int breaks;
};

static bool break_now_and_then(void *data)
{
	struct breaking *b = data;

	if (!b->ran->ended && b->ran->out_len >= b->next) {
		rig_break(b->ran->rig);
		b->breaks++;
		b->next = b->ran->out_len + 200 * 1000;
	}
	return ran_ended(b->ran);
}

static void broken_links_leave_no_gap(void **state)
{
	struct rig rig;
	struct ran ran = { .keep = 50 * 1000 };
	struct breaking breaking = { .ran = &ran, .next = 1 };
	size_t at = 0;

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "count", "seq 1 400000; exit 3");
	rig_run(&rig, break_now_and_then, &breaking);
	assert_true(breaking.breaks >= 5);
	assert_true(rig.up > 3);
	assert_true(rig.down > 3);
	assert_counted(&ran, &at, 400000);
	assert_int_equal(at, ran.out_len);
	assert_int_equal(ran.end.exit_code, 3);
	ran_done(&ran);
	rig_stop(&rig);
}

static void input_survives_broken_links(void **state)
{
	enum { SIZE = 2 * 1000 * 1000 };
	struct rig rig;
	autofree char *input = malloc(SIZE);
	struct ran ran = { .input = input, .input_left = SIZE };
	struct breaking breaking = { .ran = &ran, .next = 1 };

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		input[i] = (char)(i * 131 / 11);
	rig_start(&rig);
	ran_start(&rig, &ran, "cat", "cat");
	rig_run(&rig, break_now_and_then, &breaking);
	assert_true(breaking.breaks >= 3);
	assert_int_equal(ran.out_len, SIZE);
	assert_memory_equal(ran.out, input, SIZE);
	ran_done(&ran);
	rig_stop(&rig);
}

static bool has_output(void *data)
{
	const struct ran *ran = data;

	return ran->out_len > 0 || ran->ended;
}

/* Another server takes it up from where the first one's record ends. */
static void an_exec_outlives_its_server(void **state)
{
	struct rig rig;
	struct ran first = { .exec = NULL };
	struct ran second = { .exec = NULL };
	struct error err = ERROR_INIT;

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &first, "build", "echo one; sleep 0.1; echo two; sleep 0.1; exit 9");
	rig_run(&rig, has_output, &first);
	assert_string_equal(first.out, "one\n");
	guest_exec_detach(first.exec);
	assert_int_equal(guest_exec_attach(rig.guest, "build", 2, &ran_callbacks, &second,
					   &second.exec, &err),
			 0);
	rig_run(&rig, ran_ended, &second);
	assert_string_equal(second.out, "e\ntwo\n");
	assert_int_equal(second.end.exit_code, 9);
	assert_false(first.ended);
	ran_done(&first);
	ran_done(&second);
	rig_stop(&rig);
}

static void input_goes_on_behind_that_of_an_earlier_server(void **state)
{
	struct rig rig;
	struct ran first = { .exec = NULL };
	struct ran second = { .exec = NULL };
	json_auto_t *argv =
		json_pack("[s, s, s]", "/bin/sh", "-c", "read a; echo $a; read b; echo $b");
	const struct guest_exec_spec spec = { .argv = argv, .stdin_open = true };
	struct error err = ERROR_INIT;

	(void)state;
	rig_start(&rig);
	ran_start_spec(&rig, &first, "shell", &spec);
	assert_int_equal(guest_exec_write(first.exec, "one\n", 4), 4);
	rig_run(&rig, has_output, &first);
	guest_exec_detach(first.exec);
	assert_int_equal(guest_exec_attach(rig.guest, "shell", 4, &ran_callbacks, &second,
					   &second.exec, &err),
			 0);
	/* Before the agent has said how much it has. */
	assert_int_equal(guest_exec_write(second.exec, "two\n", 4), 4);
	rig_run(&rig, ran_ended, &second);
	assert_string_equal(second.out, "two\n");
	assert_int_equal(second.end.error.code, ERR_NONE);
	ran_done(&first);
	ran_done(&second);
	rig_stop(&rig);
}

static void an_unknown_exec_can_not_be_taken_up(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };
	struct error err = ERROR_INIT;

	(void)state;
	rig_start(&rig);
	assert_int_equal(
		guest_exec_attach(rig.guest, "never", 0, &ran_callbacks, &ran, &ran.exec, &err), 0);
	rig_run(&rig, ran_ended, &ran);
	assert_int_equal(ran.end.error.code, ERR_NOT_FOUND);
	ran_done(&ran);
	rig_stop(&rig);
}

static bool agent_forgot(void *data)
{
	const struct rig *rig = data;

	return rig->agent.execs == NULL;
}

static void killed_and_ended_execs_are_forgotten(void **state)
{
	struct rig rig;
	struct ran killed = { .exec = NULL };
	struct ran ended = { .exec = NULL };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &killed, "k", "echo started; sleep 1000 & sleep 1000");
	ran_start(&rig, &ended, "e", "exit 0");
	rig_run(&rig, has_output, &killed);
	rig_run(&rig, ran_ended, &ended);
	assert_non_null(rig.agent.execs);
	guest_exec_kill(killed.exec);
	rig_run(&rig, agent_forgot, &rig);
	assert_int_equal(rig.agent.execs_running, 0);
	assert_int_equal(rig.agent.execs_ended, 0);
	assert_int_equal(rig.agent.output_bytes, 0);
	assert_false(killed.ended);
	ran_done(&killed);
	ran_done(&ended);
	rig_stop(&rig);
}

static void a_kill_reaches_the_agent_over_the_next_link(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "k", "echo started; sleep 1000");
	rig_run(&rig, has_output, &ran);
	rig_break(&rig);
	guest_exec_kill(ran.exec);
	rig_run(&rig, agent_forgot, &rig);
	ran_done(&ran);
	rig_stop(&rig);
}

static void the_time_limit_ends_it(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };
	json_auto_t *argv = json_pack("[s, s]", "sleep", "1000");
	const struct guest_exec_spec spec = { .argv = argv, .timeout_ms = 50 };

	(void)state;
	rig_start(&rig);
	ran_start_spec(&rig, &ran, "t", &spec);
	rig_run(&rig, ran_ended, &ran);
	assert_true(ran.end.timed_out);
	assert_int_equal(ran.end.signal, SIGTERM);
	ran_done(&ran);
	rig_stop(&rig);
}

static void a_terminal_has_a_size_and_an_end(void **state)
{
	static const char typed[] = "hello\n";
	struct rig rig;
	struct ran ran = { .input = typed, .input_left = strlen(typed) };
	json_auto_t *argv = json_pack("[s, s, s]", "sh", "-c", "tty; stty size; stty -echo; cat");
	const struct guest_exec_spec spec = {
		.argv = argv, .tty = true, .rows = 40, .cols = 132, .stdin_open = true
	};

	(void)state;
	rig_start(&rig);
	ran_start_spec(&rig, &ran, "tty", &spec);
	rig_run(&rig, ran_ended, &ran);
	assert_string_equal(ran.end.error.msg, "");
	assert_non_null(ran.out);
	assert_non_null(strstr(ran.out, "/dev/pts/"));
	assert_non_null(strstr(ran.out, "40 132"));
	assert_non_null(strstr(ran.out, "hello"));
	assert_int_equal(ran.err_len, 0);
	assert_int_equal(ran.end.exit_code, 0);
	ran_done(&ran);
	rig_stop(&rig);
}

static void what_is_left_running_does_not_hold_the_end(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "d", "sleep 1000 & echo $!");
	rig_run(&rig, ran_ended, &ran);
	assert_int_equal(ran.end.exit_code, 0);
	assert_int_equal(kill((pid_t)strtol(ran.out, NULL, 10), SIGKILL), 0);
	ran_done(&ran);
	rig_stop(&rig);
}

enum { MANY = 100 };

static bool all_ended(void *data)
{
	struct ran *list = data;

	for (int i = 0; i < MANY; i++)
		if (!ran_ended(&list[i]))
			return false;
	return true;
}

static void a_hundred_run_at_once(void **state)
{
	static struct ran list[MANY];
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (int i = 0; i < MANY; i++) {
		char id[16];
		char script[64];

		(void)snprintf(id, sizeof(id), "n%d", i);
		(void)snprintf(script, sizeof(script), "echo %d; exit %d", i, i);
		ran_start(&rig, &list[i], id, script);
	}
	rig_run(&rig, all_ended, list);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(strtol(list[i].out, NULL, 10), i);
		assert_int_equal(list[i].end.exit_code, i);
		ran_done(&list[i]);
	}
	rig_stop(&rig);
}

static void the_end_of_the_vm_ends_them(void **state)
{
	struct rig rig;
	struct ran ran = { .exec = NULL };

	(void)state;
	rig_start(&rig);
	ran_start(&rig, &ran, "a", "echo started; sleep 1000");
	rig_run(&rig, has_output, &ran);
	guest_free(rig.guest);
	rig.guest = NULL;
	assert_true(ran.ended);
	assert_int_equal(ran.end.error.code, ERR_GUEST);
	ran_done(&ran);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_exit_code_arrive),
		cmocka_unit_test(what_can_not_be_started_says_why),
		cmocka_unit_test(environment_folder_and_path_are_as_asked),
		cmocka_unit_test(input_goes_through_in_full),
		cmocka_unit_test(a_program_that_reads_nothing_can_still_be_signalled),
		cmocka_unit_test(a_slow_reader_gets_all_in_order),
		cmocka_unit_test(broken_links_leave_no_gap),
		cmocka_unit_test(input_survives_broken_links),
		cmocka_unit_test(an_exec_outlives_its_server),
		cmocka_unit_test(input_goes_on_behind_that_of_an_earlier_server),
		cmocka_unit_test(an_unknown_exec_can_not_be_taken_up),
		cmocka_unit_test(killed_and_ended_execs_are_forgotten),
		cmocka_unit_test(a_kill_reaches_the_agent_over_the_next_link),
		cmocka_unit_test(the_time_limit_ends_it),
		cmocka_unit_test(a_terminal_has_a_size_and_an_end),
		cmocka_unit_test(what_is_left_running_does_not_hold_the_end),
		cmocka_unit_test(a_hundred_run_at_once),
		cmocka_unit_test(the_end_of_the_vm_ends_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
