/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, amounts, progress, and what a terminal gets to see of hostile text. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "cli/console.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/suggest.h"
#include "lib/base/cleanup.h"

static void columns_line_up(void **state)
{
	struct table table CLEANUP(table_done) = { 0 };
	autofree char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	table_init(&table, "NAME", "STATE", NULL);
	table_cell(&table, "web");
	table_cell(&table, "running");
	table_cell(&table, "größe");
	table_cell(&table, "");
	table_cell(&table, "evil\033[2J\n\xc2\x9b");
	table_cellf(&table, "%d", 7);
	table_print(&table, out, false);
	(void)fclose(out);
	assert_string_equal(text, "NAME        STATE\n"
				  "web         running\n"
				  "größe       -\n"
				  "evil?[2J??  7\n");
}

static void colour_changes_no_width(void **state)
{
	struct table table CLEANUP(table_done) = { 0 };
	autofree char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	table_init(&table, "S", "N", NULL);
	table_cell(&table, "running");
	table_cell(&table, "x");
	table_print(&table, out, true);
	(void)fclose(out);
	assert_string_equal(text, "S        N\n\033[32mrunning\033[0m  x\n");
}

static void amounts_are_short(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 1536, "1.5 KiB" },
		{ 64 * 1048576, "64 MiB" },
		{ UINT64_C(3) * 1024 * 1048576, "3 GiB" },
	};
	static const struct {
		int64_t ms;
		const char *text;
	} times[] = {
		{ 0, "0 ms" },     { 350, "350 ms" },  { 3240, "3.2 s" },    { 59999, "59.9 s" },
		{ 240000, "4 m" }, { 7200000, "2 h" }, { 172800000, "2 d" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_string_equal(format_bytes(sizes[i].bytes, buf), sizes[i].text);
	(void)format_bytes(UINT64_MAX, buf);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		assert_string_equal(format_duration_ms(times[i].ms, buf), times[i].text);
}

static void ages_come_from_times(void **state)
{
	char buf[32];

	(void)state;
	assert_int_equal(parse_rfc3339_ms("1970-01-01T00:00:01.250Z"), 1250);
	assert_int_equal(parse_rfc3339_ms("2026-01-31T12:00:00Z"), INT64_C(1769860800000));
	assert_int_equal(parse_rfc3339_ms("yesterday"), -1);
	assert_int_equal(parse_rfc3339_ms("2026-01-31T12:00:00+01:00"), -1);
	assert_string_equal(format_age("1970-01-01T00:00:00Z", 90500, buf), "1 m");
	/* A clock that went back makes no negative age. */
	assert_string_equal(format_age("1970-01-01T00:01:00Z", 0, buf), "0 s");
	assert_string_equal(format_age("", 0, buf), "-");
}

static void progress_names_stage_and_amount(void **state)
{
	json_auto_t *bytes =
		json_pack("{s:s, s:[{s:s}, {s:s}], s:{s:i, s:i, s:s}}", "state", "running",
			  "stages", "name", "resolve", "name", "download", "progress", "done",
			  1048576, "total", 4194304, "unit", "bytes");
	json_auto_t *queued = json_pack("{s:s, s:[]}", "state", "queued", "stages");
	char buf[128];

	(void)state;
	assert_string_equal(progress_text("kernel", bytes, buf, sizeof(buf)),
			    "kernel: download, 1 MiB of 4 MiB");
	assert_string_equal(progress_text("vm web", queued, buf, sizeof(buf)), "vm web: queued");
}

/* Given in pieces of every size, the outcome is the same. */
static void only_colours_get_to_the_terminal(void **state)
{
	static const char input[] =
		"a\033[31mred\033[0m\033[2J\033]0;title\a\033c b\x9b\r\n\tc\033[6n.";
	static const char wanted[] = "a\033[31mred\033[0m0;title b\x9b\r\n\tc.";

	(void)state;
	for (size_t piece = 1; piece < sizeof(input); piece++) {
		struct console console = { .filter = true };
		char out[sizeof(input) + CONSOLE_SEQUENCE_MAX + 1];
		size_t n = 0;

		for (size_t at = 0; at < sizeof(input) - 1; at += piece) {
			size_t len = sizeof(input) - 1 - at;

			n += console_filter(&console, input + at, len < piece ? len : piece,
					    out + n);
		}
		out[n] = '\0';
		assert_string_equal(out, wanted);
	}
}

static void an_endless_sequence_is_dropped(void **state)
{
	struct console console = { .filter = true };
	char in[4096], out[sizeof(in) + CONSOLE_SEQUENCE_MAX];

	(void)state;
	memset(in, '1', sizeof(in));
	in[0] = '\033';
	in[1] = '[';
	/* Once the sequence is too long to be one, the rest is text again. */
	assert_int_equal(console_filter(&console, in, sizeof(in), out),
			 sizeof(in) - CONSOLE_SEQUENCE_MAX - 1);
}

static void near_words_are_suggested(void **state)
{
	static const char *const known[] = { "list", "start", "stop", "restart", "rm" };

	(void)state;
	assert_string_equal(suggest("lsit", known, ARRAY_SIZE(known)), "list");
	assert_string_equal(suggest("stp", known, ARRAY_SIZE(known)), "stop");
	assert_null(suggest("network", known, ARRAY_SIZE(known)));
	assert_null(suggest("xy", known, ARRAY_SIZE(known)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_line_up),
		cmocka_unit_test(colour_changes_no_width),
		cmocka_unit_test(amounts_are_short),
		cmocka_unit_test(ages_come_from_times),
		cmocka_unit_test(progress_names_stage_and_amount),
		cmocka_unit_test(only_colours_get_to_the_terminal),
		cmocka_unit_test(an_endless_sequence_is_dropped),
		cmocka_unit_test(near_words_are_suggested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
