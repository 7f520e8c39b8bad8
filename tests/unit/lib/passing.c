/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/passing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

static int pair[2];

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
	(void)state;
	return close(pair[0]) < 0 || close(pair[1]) < 0 ? -1 : 0;
}

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir)) /* NOLINT(concurrency-mt-unsafe): one thread */
		n++;
	(void)closedir(dir);
	return n;
}

static void a_descriptor_goes_with_the_bytes(void **state)
{
	char one[4] = "", two[8] = "";
	const struct iovec out[2] = { { (void *)(uintptr_t) "abc", 4 },
				      { (void *)(uintptr_t) "defg", 5 } };
	const struct iovec in[2] = { { one, sizeof(one) }, { two, sizeof(two) } };
	autoclose int fd = -1;
	struct stat sent, came;
	int flags;

	(void)state;
	assert_int_equal(send_with_fd(pair[0], out, 2, pair[0], 0), 9);
	assert_int_equal(receive_with_fd(pair[1], in, 2, 0, &fd, &flags), 9);
	assert_string_equal(one, "abc");
	assert_string_equal(two, "defg");
	assert_true(fd >= 0 && fd != pair[0]);
	assert_int_equal(flags & (MSG_TRUNC | MSG_CTRUNC), 0);
	assert_int_equal(fstat(pair[0], &sent), 0);
	assert_int_equal(fstat(fd, &came), 0);
	assert_int_equal(sent.st_ino, came.st_ino);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void bytes_go_alone(void **state)
{
	char text[8] = "";
	const struct iovec out = { (void *)(uintptr_t) "alone", 6 };
	const struct iovec in = { text, sizeof(text) };
	int fd = 7, flags;

	(void)state;
	assert_int_equal(receive_with_fd(pair[1], &in, 1, MSG_DONTWAIT, &fd, &flags), -EAGAIN);
	assert_int_equal(send_with_fd(pair[0], &out, 1, -1, 0), 6);
	assert_int_equal(receive_with_fd(pair[1], &in, 1, 0, &fd, &flags), 6);
	assert_string_equal(text, "alone");
	assert_int_equal(fd, -1);
	assert_int_equal(shutdown(pair[0], SHUT_RDWR), 0);
	assert_int_equal(receive_with_fd(pair[1], &in, 1, 0, &fd, &flags), 0);
	assert_int_equal(send_with_fd(pair[1], &out, 1, -1, 0), -EPIPE);
}

/* What nobody has asked for is not left open. */
static void more_than_one_is_closed(void **state)
{
	const int two[2] = { pair[0], pair[1] };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(two))];
	} control = { .align = { .cmsg_len = CMSG_LEN(sizeof(two)),
				 .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS } };
	char byte = 'x';
	struct iovec part = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &part,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	size_t before = open_descriptors();
	int fd = -1, flags;

	(void)state;
	memcpy(CMSG_DATA(&control.align), two, sizeof(two));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(receive_with_fd(pair[1], &part, 1, 0, &fd, &flags), 1);
	assert_int_equal(flags & MSG_CTRUNC, MSG_CTRUNC);
	assert_true(fd >= 0);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_descriptor_goes_with_the_bytes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(bytes_go_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_than_one_is_closed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
