/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what is understood, what is refused and with which words. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "lib/base/macro.h"
#include "lib/json/json.h"

enum { WORDS_MAX = 32 };

/* Parses a line of words separated by single blanks. The words live until the next call. */
static int parse(const char *line, struct args *args, struct error *err)
{
	static char copy[512];
	static char *argv[WORDS_MAX];
	const char *group = NULL;
	int argc = 0;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *save = NULL, *word = strtok_r(copy, " ", &save); word && argc < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	*err = ERROR_INIT;
	return args_parse(argc, argv, args, &group, err);
}

static void commands_are_found_by_path_and_alias(void **state)
{
	static const struct {
		const char *line, *path;
	} cases[] = {
		{ "vm list", "vm list" },         { "ps", "vm list" },
		{ "vm ls", "vm list" },           { "vm rm web", "vm delete" },
		{ "run -- true", "run" },         { "run list", "run list" },
		{ "exec web true", "vm exec" },   { "--json vm list", "vm list" },
		{ "--home /x doctor", "doctor" }, { "image rm mini", "image delete" },
		{ "kernel ls", "kernel list" },
	};
	struct args args;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].line, &args, &err), 0);
		assert_string_equal(args.command->path, cases[i].path);
	}
}

static void bad_lines_are_refused_with_words(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "vm rum", "unknown command 'vm rum'; did you mean 'run'?" },
		{ "lst", "did you mean 'list'?" },
		{ "zzzzzzzzz", "unknown command 'zzzzzzzzz'" },
		{ "rm web", "unknown command 'rm'" },
		{ "vm run --imge x", "unknown option '--imge'; did you mean --image?" },
		{ "vm list --image x", "unknown option '--image'" },
		{ "vm run --memory", "--memory needs a value: SIZE" },
		{ "vm run --memory lots",
		  "--memory: 'lots' is no SIZE: MiB, or with M, G or T: 512, 512M, 2G" },
		{ "vm run --memory -1", "'-1' is no SIZE" },
		{ "vm run --memory 99999999999999999999", "is no SIZE" },
		{ "vm run --vcpus 0", "--vcpus: '0' is no N: a whole number from 1 on" },
		{ "vm run --vcpus 2x", "--vcpus: '2x' is no N" },
		{ "vm run --network wifi", "--network: 'wifi' is not one of none|user|bridge" },
		{ "vm run --network none|user", "is not one of" },
		{ "vm run --rm=yes", "--rm takes no value" },
		{ "vm run --label team", "--label: 'team' is no KEY=VALUE" },
		{ "vm run --label =x", "'=x' is no KEY=VALUE" },
		{ "vm run . hi", "unexpected argument 'hi'; a command goes behind '--'" },
		{ "vm show", "vm show needs VM" },
		{ "vm exec", "vm exec needs VM" },
		{ "doctor now", "unexpected argument 'now'" },
	};
	struct args args;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(parse(cases[i].line, &args, &err) < 0);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("%s: said '%s', not '%s'", cases[i].line, err.msg,
				 cases[i].message);
	}
}

static void the_command_of_the_guest_is_left_alone(void **state)
{
	struct args args;
	struct error err;

	(void)state;
	assert_int_equal(parse("vm run --rm -- sh -c --memory --rm", &args, &err), 0);
	assert_int_equal(args.n_rest, 4);
	assert_string_equal(args.rest[2], "--memory");
	assert_true(args_given(&args, OPT_RM));
	assert_false(args_given(&args, OPT_MEMORY));

	assert_int_equal(parse("vm exec --cwd /tmp web ls --help -- x", &args, &err), 0);
	assert_int_equal(args.n_rest, 4);
	assert_string_equal(args.rest[0], "ls");
	assert_string_equal(args.rest[1], "--help");
	assert_false(args_given(&args, OPT_HELP));
	assert_string_equal(args.positional[0], "web");
}

static void options_become_the_body(void **state)
{
	struct args args;
	struct error err;
	json_auto_t *body = NULL, *wanted = NULL;

	(void)state;
	assert_int_equal(
		parse("vm create -n web --image=python:3.12 -c 2 -m 2G --disk 512M --ttl 2h "
		      "-l team=ci --label a=b=c --nat --network user",
		      &args, &err),
		0);
	body = args_body(&args);
	wanted = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:{s:s, s:s}, s:b, s:s}", "name", "web",
			   "image", "python:3.12", "vcpus", 2, "memory_mib", 2048, "disk_mib", 512,
			   "ttl_s", 7200, "labels", "team", "ci", "a", "b=c", "nat", 1, "network",
			   "user");
	assert_non_null(wanted);
	assert_true(json_equal(body, wanted));
}

static void amounts_are_parsed_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		int (*parse)(const char *s, uint64_t *ret_n);
		int r;
		uint64_t n;
	} cases[] = {
		{ "512", parse_mib, 0, 512 },
		{ "512m", parse_mib, 0, 512 },
		{ "2GiB", parse_mib, 0, 2048 },
		{ "1T", parse_mib, 0, 1048576 },
		{ "", parse_mib, -EINVAL, 0 },
		{ "1.5G", parse_mib, -EINVAL, 0 },
		{ "10K", parse_mib, -EINVAL, 0 },
		{ " 1", parse_mib, -EINVAL, 0 },
		{ "18446744073709551615T", parse_mib, -ERANGE, 0 },
		{ "18446744073709551616", parse_mib, -ERANGE, 0 },
		{ "90", parse_duration, 0, 90 },
		{ "15m", parse_duration, 0, 900 },
		{ "7d", parse_duration, 0, 604800 },
		{ "1w", parse_duration, -EINVAL, 0 },
		{ "64K", parse_bytes, 0, 65536 },
		{ "0", parse_bytes, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t n = 0;

		assert_int_equal(cases[i].parse(cases[i].text, &n), cases[i].r);
		assert_int_equal(n, cases[i].n);
	}
}

/* Help and completion read these tables, so a hole in one would show there first. */
static void tables_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_MAX_; i++) {
		assert_non_null(option_specs[i].name);
		assert_non_null(option_specs[i].help);
		assert_int_equal(option_specs[i].kind == OPTION_FLAG,
				 option_specs[i].value == NULL);
	}
	for (size_t i = 0; i < n_commands; i++) {
		assert_non_null(commands[i].run);
		assert_non_null(commands[i].usage);
		assert_true(commands[i].min_args <= commands[i].max_args);
		for (size_t a = 0; a < OPTION_MAX_; a++) {
			for (size_t b = a + 1; b < OPTION_MAX_; b++) {
				option_set set = commands[i].options | OPTIONS_COMMON;

				if (((set >> a) & 1) && ((set >> b) & 1) && option_specs[a].letter)
					assert_int_not_equal(option_specs[a].letter,
							     option_specs[b].letter);
			}
		}
	}
}

/* Two options have this name: each says what it is about. */
static void ttl_is_about_what_is_made(void **state)
{
	struct args args;
	struct error err;

	(void)state;
	assert_int_equal(parse("token create ci --ttl 1h", &args, &err), 0);
	assert_true(args.given == OPTION(TOKEN_TTL));
	assert_int_equal(args.numbers[OPT_TOKEN_TTL], 3600);
	assert_null(strstr(option_specs[OPT_TOKEN_TTL].help, "VM"));
	assert_int_equal(parse("vm create --ttl 1h", &args, &err), 0);
	assert_true(args.given == OPTION(TTL));
	assert_non_null(strstr(option_specs[OPT_TTL].help, "VM"));
}

/* The last ones of the table too. */
static void each_flag_is_the_one_that_was_given(void **state)
{
	struct args args;
	struct error err;
	char line[128];

	(void)state;
	for (size_t i = 0; i < n_commands; i++) {
		for (size_t o = 0; o < OPTION_MAX_; o++) {
			if (!((commands[i].options >> o) & 1) ||
			    option_specs[o].kind != OPTION_FLAG)
				continue;
			(void)snprintf(line, sizeof(line), "%s --%s%s%s", commands[i].path,
				       option_specs[o].name,
				       commands[i].min_args > 1   ? " a b"
				       : commands[i].min_args > 0 ? " a"
								  : "",
				       commands[i].rest == REST_NONE ? "" : " -- true");
			assert_int_equal(parse(line, &args, &err), 0);
			assert_true(args.given == (option_set)1 << o);
		}
	}
}

static void the_server_is_found_in_order(void **state)
{
	struct error err = ERROR_INIT;
	char *address = NULL;

	(void)state;
	/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
	assert_int_equal(setenv("BANGER_SERVER", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(setenv("BANGER_HOME", "/nonexistent/env", 1), 0);
	assert_int_equal(cli_find_server("/x.sock", "/h", &address, &err), 0);
	assert_string_equal(address, "/x.sock");
	free(address);
	assert_int_equal(cli_find_server(NULL, "/h", &address, &err), 0);
	assert_string_equal(address, "/h/run/server.sock");
	free(address);
	assert_int_equal(cli_find_server(NULL, NULL, &address, &err), 0);
	assert_string_equal(address, "http://127.0.0.1:1");
	free(address);
	assert_int_equal(unsetenv("BANGER_SERVER"), 0);
	/* NOLINTEND(concurrency-mt-unsafe) */
	assert_int_equal(cli_find_server(NULL, NULL, &address, &err), 0);
	assert_string_equal(address, "/nonexistent/env/run/server.sock");
	free(address);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_found_by_path_and_alias),
		cmocka_unit_test(bad_lines_are_refused_with_words),
		cmocka_unit_test(the_command_of_the_guest_is_left_alone),
		cmocka_unit_test(options_become_the_body),
		cmocka_unit_test(amounts_are_parsed_whole_or_not_at_all),
		cmocka_unit_test(tables_are_complete),
		cmocka_unit_test(ttl_is_about_what_is_made),
		cmocka_unit_test(each_flag_is_the_one_that_was_given),
		cmocka_unit_test(the_server_is_found_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
