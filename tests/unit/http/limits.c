/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/limits.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"

enum { CLIENTS = 8 };

struct pair {
	int ours, theirs;
	struct client *client;
};

static void pair_open(struct pair *p, struct clients *clients)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->ours = fds[0];
	p->theirs = fds[1];
	p->client = client_new(clients, p->ours, 0);
	assert_non_null(p->client);
}

static void pair_close(struct pair *p)
{
	client_free(p->client);
	(void)close(p->ours);
	(void)close(p->theirs);
}

static bool hung_up(const struct pair *p)
{
	char byte;

	return recv(p->theirs, &byte, 1, MSG_DONTWAIT) == 0;
}

static void stop(void *data)
{
	loop_stop(data);
}

/* What sends no whole request in time is closed; what is being answered is not. */
static void test_deadline(void **state)
{
	struct loop *loop = NULL;
	struct loop_timer *timer = NULL;
	struct clients clients;
	struct pair slow;
	struct pair busy;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(clients_init(&clients, loop, CLIENTS, 1000), 0);
	pair_open(&slow, &clients);
	pair_open(&busy, &clients);
	client_busy(busy.client);
	assert_int_equal(loop_timer_new(loop, stop, loop, &timer), 0);
	loop_timer_set(timer, 50000);
	assert_int_equal(loop_run(loop), 0);
	assert_true(hung_up(&slow));
	assert_false(hung_up(&busy));
	pair_close(&slow);
	pair_close(&busy);
	loop_timer_free(timer);
	clients_done(&clients);
	loop_free(loop);
}

/* The one that has idled longest gives way to a new one. */
static void test_eviction(void **state)
{
	struct loop *loop = NULL;
	struct clients clients;
	struct pair pairs[CLIENTS];

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(clients_init(&clients, loop, CLIENTS, 1000000000), 0);
	for (size_t i = 0; i + 1 < CLIENTS; i++)
		pair_open(&pairs[i], &clients);
	for (size_t i = 0; i + 1 < CLIENTS; i++)
		assert_false(hung_up(&pairs[i]));
	client_busy(pairs[0].client);
	client_idle(pairs[1].client);
	pair_open(&pairs[CLIENTS - 1], &clients);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(hung_up(&pairs[i]), i == 2);
	for (size_t i = 0; i < CLIENTS; i++)
		pair_close(&pairs[i]);
	assert_int_equal(clients.n, 0);
	clients_done(&clients);
	loop_free(loop);
}

static void test_rates(void **state)
{
	static struct rates rates;
	int64_t now = 1000000000;
	int wait_s = 0;
	int taken = 0;

	(void)state;
	while (rates_take(&rates, "token:a", now, &wait_s))
		taken++;
	assert_int_equal(taken, CHANGES_BURST);
	assert_int_equal(wait_s, 1);
	assert_true(rates_take(&rates, "token:b", now, &wait_s));
	now += 1000000;
	for (taken = 0; rates_take(&rates, "token:a", now, &wait_s);)
		taken++;
	assert_int_equal(taken, CHANGES_PER_S);
	/* More callers than there is room for push out the oldest, no more. */
	for (int i = 0; i < 2 * CALLERS_MAX; i++) {
		char who[32];

		(void)snprintf(who, sizeof(who), "uid:%d", i);
		assert_true(rates_take(&rates, who, now + i, &wait_s));
	}
	now += 3600 * INT64_C(1000000);
	for (taken = 0; rates_take(&rates, "uid:127", now, &wait_s);)
		taken++;
	assert_int_equal(taken, CHANGES_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
