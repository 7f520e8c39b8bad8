/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct loop *loop;
static char order[16];
static size_t order_len;

static void note_and_stop(void *data)
{
	order[order_len++] = *(const char *)data;
	if (order_len == 3)
		loop_stop(loop);
}

static void timers_fire_in_order_of_deadline(void **state)
{
	static char a = 'a', b = 'b', c = 'c';
	struct loop_timer *t[3];

	(void)state;
	order_len = 0;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(loop_timer_new(loop, note_and_stop, &c, &t[0]), 0);
	assert_int_equal(loop_timer_new(loop, note_and_stop, &a, &t[1]), 0);
	assert_int_equal(loop_timer_new(loop, note_and_stop, &b, &t[2]), 0);
	loop_timer_set(t[0], 1000);
	loop_timer_set(t[1], 2000);
	loop_timer_set(t[2], 3000);
	loop_timer_set(t[0], 6000);
	assert_int_equal(loop_run(loop), 0);
	assert_memory_equal(order, "abc", 3);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		loop_timer_free(t[i]);
	loop_free(loop);
}

struct pair {
	struct loop_fd *source[2];
	int calls;
};

static void remove_both(void *data, uint32_t events)
{
	struct pair *p = data;

	(void)events;
	p->calls++;
	loop_fd_remove(p->source[0]);
	loop_fd_remove(p->source[1]);
	loop_stop(loop);
}

/* Both are ready in one batch; the first callback removes the second, which must not run then. */
static void a_removed_source_is_not_called_again(void **state)
{
	struct pair p = { .calls = 0 };
	int a[2];
	int b[2];

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(loop_fd_add(loop, a[0], EPOLLIN, remove_both, &p, &p.source[0]), 0);
	assert_int_equal(loop_fd_add(loop, b[0], EPOLLIN, remove_both, &p, &p.source[1]), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(p.calls, 1);
	loop_free(loop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static int counted;

static void count(void *data)
{
	(void)data;
	counted++;
	assert_true(loop_is_mine(loop));
}

static void *caller(void *data)
{
	(void)data;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(loop_call(loop, count, NULL), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(loop_post(loop, count, NULL), 0);
	assert_int_equal(loop_call(loop, count, NULL), 0);
	loop_stop(loop);
	return NULL;
}

static void calls_of_other_threads_run_on_the_loop(void **state)
{
	pthread_t thread;

	(void)state;
	counted = 0;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(pthread_create(&thread, NULL, caller, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(counted, 2001);
	assert_int_equal(loop_post(loop, count, NULL), -ESHUTDOWN);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_of_deadline),
		cmocka_unit_test(a_removed_source_is_not_called_again),
		cmocka_unit_test(calls_of_other_threads_run_on_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
