/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of an exec, cut at every possible place, and broken ones. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/frames.h"
#include "lib/base/cleanup.h"

/* Everything written to `fd` so far, as text. */
static const char *written(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	return buf;
}

static void output_and_exit_code_come_through(void **state)
{
	static const char stream[] = "{\"type\":\"stdout\",\"data\":\"one\\n\"}\n"
				     "{\"type\":\"stderr\",\"base64\":\"/wAB\"}\n"
				     "\n"
				     "{\"type\":\"surprise\",\"data\":\"?\"}\n"
				     "{\"type\":\"stdout\",\"data\":\"two\"}\n"
				     "{\"type\":\"exit\",\"exit_code\":42,\"signal\":null,"
				     "\"timed_out\":false,\"duration_ms\":1.5}\n";

	(void)state;
	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		autoclose int out = memfd_create("out", 0), err = memfd_create("err", 0);
		struct frames frames CLEANUP(frames_done) = { 0 };
		char buf[64];

		frames_init(&frames, out, err);
		for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
			size_t len = sizeof(stream) - 1 - at;

			assert_int_equal(
				frames_take(&frames, stream + at, len < piece ? len : piece), 0);
		}
		assert_true(frames.ended);
		assert_int_equal(frames.exit_code, 42);
		assert_string_equal(written(out, buf, sizeof(buf)), "one\ntwo");
		assert_memory_equal(written(err, buf, sizeof(buf)), "\xff\0\1", 3);
	}
}

static int take(struct frames *frames, const char *text)
{
	return frames_take(frames, text, strlen(text));
}

static void signals_count_from_128(void **state)
{
	struct frames frames CLEANUP(frames_done) = { 0 };

	(void)state;
	frames_init(&frames, -1, -1);
	assert_int_equal(take(&frames, "{\"type\":\"exit\",\"exit_code\":null,\"signal\":9,"
				       "\"timed_out\":true}\n"),
			 0);
	assert_int_equal(frames.exit_code, 137);
	assert_true(frames.timed_out);
}

static void a_problem_is_kept(void **state)
{
	struct frames frames CLEANUP(frames_done) = { 0 };

	(void)state;
	frames_init(&frames, -1, -1);
	assert_int_equal(take(&frames, "{\"type\":\"error\",\"problem\":{\"detail\":\"gone\"}}\n"),
			 0);
	assert_true(frames.ended);
	assert_string_equal(json_string_value(json_object_get(frames.problem, "detail")), "gone");
}

static void broken_streams_are_refused(void **state)
{
	static const char *const broken[] = {
		"no json\n",
		"{\"type\":\"stdout\"\n",
		"{\"type\":\"stdout\"}\n",
		"{\"type\":\"stdout\",\"data\":7}\n",
		"{\"type\":\"stdout\",\"base64\":\"abc\"}\n",
		"{\"type\":\"stdout\",\"base64\":\"ab=c\"}\n",
		"{\"type\":\"stdout\",\"base64\":\"****\"}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		autoclose int out = memfd_create("out", 0);
		struct frames frames CLEANUP(frames_done) = { 0 };

		frames_init(&frames, out, out);
		assert_true(take(&frames, broken[i]) < 0);
		assert_int_not_equal(frames.error.code, ERR_NONE);
		assert_false(frames.ended);
	}
}

static void a_line_without_end_is_refused(void **state)
{
	struct frames frames CLEANUP(frames_done) = { 0 };
	autofree char *block = malloc(65536);
	int r = 0;

	(void)state;
	assert_non_null(block);
	memset(block, 'x', 65536);
	frames_init(&frames, -1, -1);
	for (size_t i = 0; i <= FRAME_MAX / 65536 && r == 0; i++)
		r = frames_take(&frames, block, 65536);
	assert_int_equal(r, -ENOBUFS);
}

static void output_that_nobody_takes_is_an_error(void **state)
{
	autoclose int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct frames frames CLEANUP(frames_done) = { 0 };

	(void)state;
	frames_init(&frames, full, full);
	assert_int_equal(take(&frames, "{\"type\":\"stdout\",\"data\":\"x\"}\n"), -ENOSPC);
	assert_non_null(strstr(frames.error.msg, "output of the command"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_exit_code_come_through),
		cmocka_unit_test(signals_count_from_128),
		cmocka_unit_test(a_problem_is_kept),
		cmocka_unit_test(broken_streams_are_refused),
		cmocka_unit_test(a_line_without_end_is_refused),
		cmocka_unit_test(output_that_nobody_takes_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
