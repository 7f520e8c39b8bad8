/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

enum { TOTAL = 5 * 1024 * 1024 + 77, GAP = 9 };

/* No byte stands where another could by mistake. */
static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 2654435761U >> 13);
}

static void wait_for_bell(struct ring *ring)
{
	struct pollfd p = { .fd = ring->bell, .events = POLLIN };

	(void)poll(&p, 1, -1);
	(void)ring_answer(ring);
}

/* Both sides of a ring; the agent's is the test. */
static pid_t start(struct ring *ring, size_t gap, int (*process)(struct ring *ring))
{
	int bell;
	pid_t pid;

	assert_int_equal(ring_new(ring, gap, &bell), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct ring theirs = { .memory = ring->memory, .bell = bell };

		close_keep_errno(ring->bell);
		_exit(process(&theirs));
	}
	close_keep_errno(bell);
	return pid;
}

static void finish(struct ring *ring, pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	ring_done(ring);
}

static int take_all(struct ring *ring)
{
	size_t at = 0;

	while (ring_await_bytes(ring) == 0 && !ring_is_over(ring)) {
		uint8_t *bytes;
		size_t n = ring_bytes(ring, &bytes);

		for (size_t i = 0; i < n; i++, at++)
			if (bytes[i] != byte_at(at))
				return 1;
		ring_read(ring, n);
	}
	return at == TOTAL ? 0 : 2;
}

static void bytes_go_into_a_process(void **state)
{
	struct ring ring;
	pid_t pid = start(&ring, 0, take_all);
	size_t at = 0;

	(void)state;
	while (at < TOTAL) {
		uint8_t *space;
		size_t n = ring_space(&ring, &space);

		n = n < TOTAL - at ? n : TOTAL - at;
		n = n < 1 + at % 70000 ? n : 1 + at % 70000;
		for (size_t i = 0; i < n; i++)
			space[i] = byte_at(at + i);
		if (n > 0)
			ring_written(&ring, n);
		else if (ring_want_room(&ring, 1))
			wait_for_bell(&ring);
		at += n;
	}
	ring_end(&ring);
	finish(&ring, pid);
}

static int give_all(struct ring *ring)
{
	for (size_t at = 0; at < TOTAL;) {
		uint8_t *space;
		size_t n;

		if (ring_await_room(ring) < 0)
			return 1;
		n = ring_space(ring, &space);
		n = n < TOTAL - at ? n : TOTAL - at;
		n = n < 1 + at % 50000 ? n : 1 + at % 50000;
		for (size_t i = 0; i < n; i++, at++)
			space[i] = byte_at(at);
		ring_written(ring, n);
	}
	ring_end(ring);
	return 0;
}

/* As frames are made: what lies before the bytes is overwritten, at any time. */
static void bytes_come_out_of_a_process_behind_gaps(void **state)
{
	struct ring ring;
	pid_t pid = start(&ring, GAP, give_all);
	size_t at = 0;

	(void)state;
	while (!ring_is_over(&ring)) {
		uint8_t *bytes;
		size_t n = ring_bytes(&ring, &bytes);

		n = n < 1 + at % 33333 ? n : 1 + at % 33333;
		if (n == 0) {
			if (ring_want_bytes(&ring))
				wait_for_bell(&ring);
			continue;
		}
		assert_true(n <= RING_SLOT - GAP);
		memset(bytes - GAP, 0xff, GAP);
		for (size_t i = 0; i < n; i++, at++)
			if (bytes[i] != byte_at(at))
				fail_msg("byte %zu is another", at);
		ring_read(&ring, n);
	}
	assert_int_equal(at, TOTAL);
	finish(&ring, pid);
}

static int wait_in_vain(struct ring *ring)
{
	return ring_await_bytes(ring) == -EPIPE ? 0 : 1;
}

static void who_waits_is_told_that_the_other_has_gone(void **state)
{
	struct ring ring;
	pid_t pid = start(&ring, 0, wait_in_vain);

	(void)state;
	close_keep_errno(take_fd(&ring.bell));
	finish(&ring, pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_into_a_process),
		cmocka_unit_test(bytes_come_out_of_a_process_behind_gaps),
		cmocka_unit_test(who_waits_is_told_that_the_other_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
