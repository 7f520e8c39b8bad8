/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/exec_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

static char dir[64];
static int dir_fd;
static struct exec_log kept;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/banger-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kept = EXEC_LOG_INIT;
	assert_int_equal(exec_log_open(dir_fd, "log", &kept), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	exec_log_close(&kept);
	close_keep_errno(dir_fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
	return 0;
}

static void open_again(void)
{
	exec_log_close(&kept);
	kept = EXEC_LOG_INIT;
	assert_int_equal(exec_log_open(dir_fd, "log", &kept), 0);
}

static void add(bool is_stderr, const char *text)
{
	assert_int_equal(exec_log_append(&kept, is_stderr, text, strlen(text)), 0);
}

static void expect(uint64_t offset, const char *text, bool is_stderr)
{
	char bytes[64] = "";
	bool err = !is_stderr;

	assert_int_equal(exec_log_read(&kept, offset, bytes, sizeof(bytes), &err), strlen(text));
	assert_string_equal(bytes, text);
	assert_int_equal(err, is_stderr);
}

/* Each byte of the sequence is known from its offset. */
static void fill(char *bytes, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)((offset + i) * 31 % 251);
}

static void both_streams_keep_their_order(void **state)
{
	(void)state;
	add(false, "one ");
	add(false, "two");
	add(true, "bad");
	add(false, "three");
	for (int round = 0; round < 2; round++) {
		assert_int_equal(kept.end, 15);
		assert_int_equal(exec_log_base(&kept), 0);
		expect(0, "one two", false);
		expect(4, "two", false);
		expect(7, "bad", true);
		expect(9, "d", true);
		expect(10, "three", false);
		assert_int_equal(exec_log_read(&kept, 15, &(char){ 0 }, 1, &(bool){ 0 }), 0);
		open_again();
	}
	add(false, " four");
	expect(10, "three four", false);
}

static void the_newest_bytes_are_kept(void **state)
{
	enum { PIECE = 10007, TOTAL = 3 * EXEC_LOG_RING };
	char bytes[PIECE];
	char back[PIECE];
	uint64_t at = 0;
	struct stat st;
	bool err;
	ssize_t n;

	(void)state;
	while (at < TOTAL) {
		fill(bytes, sizeof(bytes), at);
		assert_int_equal(exec_log_append(&kept, false, bytes, sizeof(bytes)), 0);
		at += sizeof(bytes);
	}
	open_again();
	assert_int_equal(kept.end, at);
	assert_true(exec_log_base(&kept) >= at - EXEC_LOG_RING);
	assert_true(exec_log_base(&kept) <= at - EXEC_LOG_RING + EXEC_LOG_APPEND_MAX);
	assert_int_equal(exec_log_read(&kept, exec_log_base(&kept) - 1, back, 1, &err), -ERANGE);
	for (uint64_t from = exec_log_base(&kept); from < at; from += (uint64_t)n) {
		n = exec_log_read(&kept, from, back, sizeof(back), &err);
		assert_true(n > 0);
		fill(bytes, (size_t)n, from);
		assert_memory_equal(back, bytes, (size_t)n);
	}
	assert_int_equal(fstat(kept.fd, &st), 0);
	assert_true(st.st_size <= EXEC_LOG_RING + EXEC_LOG_PIECES * 16);
}

static void changes_of_stream_are_bounded_too(void **state)
{
	enum { CHANGES = EXEC_LOG_PIECES + EXEC_LOG_PIECES / 2 };
	char byte;
	bool err;

	(void)state;
	for (unsigned int i = 0; i < CHANGES; i++)
		assert_int_equal(exec_log_append(&kept, i & 1, &(char){ (char)('a' + i % 26) }, 1),
				 0);
	for (int round = 0; round < 2; round++) {
		uint64_t base = exec_log_base(&kept);

		assert_true(base > CHANGES - EXEC_LOG_PIECES - 2);
		assert_true(base <= CHANGES - EXEC_LOG_PIECES + 1);
		for (uint64_t at = base; at < CHANGES; at += 61) {
			assert_int_equal(exec_log_read(&kept, at, &byte, 1, &err), 1);
			assert_int_equal(byte, (char)('a' + at % 26));
			assert_int_equal(err, at & 1);
		}
		open_again();
	}
}

/* Bytes without the record that counts them: what a crash between the two leaves. */
static void a_crash_between_bytes_and_record_loses_nothing(void **state)
{
	(void)state;
	add(false, "safe");
	assert_int_equal(pwrite(kept.fd, "half", 4, EXEC_LOG_PIECES * 16 + 4), 4);
	open_again();
	assert_int_equal(kept.end, 4);
	add(false, "whole");
	expect(0, "safewhole", false);
}

static void what_is_no_log_is_refused_or_read_as_far_as_it_goes(void **state)
{
	struct exec_log other = EXEC_LOG_INIT;
	char byte;
	bool err;

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "folder", 0700), 0);
	assert_true(exec_log_open(dir_fd, "folder", &other) < 0);
	assert_int_equal(symlinkat("log", dir_fd, "link"), 0);
	assert_true(exec_log_open(dir_fd, "link", &other) < 0);
	/* A record that lies about its number. */
	add(false, "x");
	add(true, "y");
	assert_int_equal(pwrite(kept.fd, &(uint64_t){ 77 << 1 }, 8, 16 + 8), 8);
	assert_true(exec_log_read(&kept, 0, &byte, 1, &err) < 0);
	assert_int_equal(exec_log_append(&kept, false, &byte, EXEC_LOG_APPEND_MAX + 1), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_streams_keep_their_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_newest_bytes_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_of_stream_are_bounded_too, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_crash_between_bytes_and_record_loses_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_log_is_refused_or_read_as_far_as_it_goes,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
