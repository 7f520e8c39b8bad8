/* SPDX-License-Identifier: Apache-2.0 */
/* The lease of a VM against a socket that answers as the server does. */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/lease.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

enum { RENEW_MS = 5, WANTED = 3 };

static char folder[] = "/tmp/banger-lease-XXXXXX";
static char path[64];

/* Takes `n` requests one after the other; the text of the last one stays. */
struct answerer {
	int listener;
	int n;
	const char *reply;
	char request[4096];
};

static void *answer(void *data)
{
	struct answerer *a = data;

	for (int i = 0; i < a->n; i++) {
		int fd = accept(a->listener, NULL, NULL);
		size_t len = 0;

		assert_true(fd >= 0);
		/* The body is the end of what comes: it has no brace inside. */
		while (len + 1 < sizeof(a->request) && (len == 0 || a->request[len - 1] != '}')) {
			ssize_t n = read(fd, a->request + len, sizeof(a->request) - 1 - len);

			if (n <= 0)
				break;
			len += (size_t)n;
		}
		a->request[len] = '\0';
		assert_int_equal(send(fd, a->reply, strlen(a->reply), MSG_NOSIGNAL),
				 strlen(a->reply));
		(void)close(fd);
	}
	return NULL;
}

static int listen_there(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(folder);
}

/* Renewed until `answerer` has had what it wants; what the last request said is in it. */
static void hold(struct answerer *a, int64_t end_us)
{
	struct client *client = NULL;
	struct lease *lease = NULL;
	struct error err = ERROR_INIT;
	pthread_t thread;

	a->listener = listen_there();
	assert_int_equal(pthread_create(&thread, NULL, answer, a), 0);
	assert_int_equal(client_new(path, "secret", &client, &err), 0);
	assert_int_equal(lease_begin(client, "/vms/x", end_us, RENEW_MS, &lease, &err), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(a->listener);
	lease_end(lease);
	client_free(client);
}

static void the_end_is_moved_on_and_on(void **state)
{
	struct answerer a = { .n = WANTED,
			      .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };

	(void)state;
	hold(&a, 0);
	assert_non_null(strstr(a.request, "PATCH /vms/x HTTP/1.1\r\n"));
	assert_non_null(strstr(a.request, "Authorization: Bearer secret\r\n"));
	assert_non_null(strstr(a.request, "{\"ttl_s\":120}"));
}

static void a_server_in_trouble_is_asked_again(void **state)
{
	struct answerer a = {
		.n = WANTED,
		.reply = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	};

	(void)state;
	hold(&a, 0);
	assert_non_null(strstr(a.request, "{\"ttl_s\":120}"));
}

static void the_end_that_was_asked_for_is_not_passed(void **state)
{
	struct answerer a = { .n = 1, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
	const char *ttl;

	(void)state;
	hold(&a, clock_mono_us() + 100 * INT64_C(1000000));
	ttl = strstr(a.request, "{\"ttl_s\":");
	assert_non_null(ttl);
	assert_true(strtol(ttl + strlen("{\"ttl_s\":"), NULL, 10) <= 100);
}

/* Three ways not to reach a server, told apart; the fourth, no permission, asks for another user.
 */
static void what_is_not_reached_says_why(void **state)
{
	struct client_reply reply = { 0 };
	struct client_request request = { .method = "GET", .path = "/vms" };
	struct client *client = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	(void)close(listen_there());
	assert_int_equal(client_new(path, NULL, &client, &err), 0);
	assert_true(client_do(client, &request, &reply, &err) < 0);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(err.sys, ECONNREFUSED);
	assert_non_null(strstr(err.msg, "has ended"));
	assert_int_equal(unlink(path), 0);
	err = ERROR_INIT;
	assert_true(client_do(client, &request, &reply, &err) < 0);
	assert_int_equal(err.sys, ENOENT);
	assert_non_null(strstr(err.msg, "there is no such socket"));
	client_free(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_moved_on_and_on),
		cmocka_unit_test(a_server_in_trouble_is_asked_again),
		cmocka_unit_test(the_end_that_was_asked_for_is_not_passed),
		cmocka_unit_test(what_is_not_reached_says_why),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
