/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. Sources are heap objects whose address is the epoll datum. A callback may
 * remove a source for which an event is already in the batch at hand; such a source is marked dead
 * and freed only after the batch. Timers are a binary heap by deadline; the heap's top gives
 * epoll_wait its timeout. Posted calls are a list under a mutex, announced by an eventfd.
 */
#include "lib/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

enum { BATCH = 64 };

struct loop_fd {
	struct loop *loop;
	int fd;
	bool dead;
	loop_fd_fn *fn;
	void *data;
	struct loop_fd *next_dead;
};

struct loop_timer {
	struct loop *loop;
	int64_t when_us;
	size_t heap_index; /* SIZE_MAX while idle */
	loop_fn *fn;
	void *data;
};

struct posted {
	struct posted *next;
	loop_fn *fn;
	void *data;
	struct call_state *call; /* NULL for loop_post() */
};

/* Lives on the stack of the thread that waits in loop_call(). */
struct call_state {
	bool done;
	int result;
};

struct loop {
	int epoll_fd;
	int wake_fd;
	bool stop;
	struct loop_fd *dead;
	struct loop_timer **heap;
	size_t heap_len;
	size_t heap_cap;
	size_t timers; /* alive, idle ones included: never more than heap_cap */
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t call_done;
	struct posted *first;
	struct posted **last;
	bool ended;
};

bool loop_is_mine(const struct loop *loop)
{
	return pthread_equal(pthread_self(), __atomic_load_n(&loop->thread, __ATOMIC_ACQUIRE));
}

/* --- descriptors --- */

int loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_fd **ret_source)
{
	struct loop_fd *source = calloc(1, sizeof(*source));
	struct epoll_event ev = { .events = events, .data.ptr = source };

	if (!source)
		return -ENOMEM;
	*source = (struct loop_fd){ .loop = loop, .fd = fd, .fn = fn, .data = data };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		free(source);
		return r;
	}
	*ret_source = source;
	return 0;
}

void loop_fd_set_events(struct loop_fd *source, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	(void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev);
}

void loop_fd_remove(struct loop_fd *source)
{
	if (!source)
		return;
	assert(!source->dead);
	(void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->dead = true;
	source->next_dead = source->loop->dead;
	source->loop->dead = source;
}

static void free_dead(struct loop *loop)
{
	while (loop->dead) {
		struct loop_fd *source = loop->dead;

		loop->dead = source->next_dead;
		free(source);
	}
}

/* --- timers: a binary heap, earliest on top --- */

static void heap_put(struct loop *loop, size_t i, struct loop_timer *timer)
{
	loop->heap[i] = timer;
	timer->heap_index = i;
}

static void heap_up(struct loop *loop, size_t i)
{
	struct loop_timer *timer = loop->heap[i];

	while (i > 0 && loop->heap[(i - 1) / 2]->when_us > timer->when_us) {
		heap_put(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(loop, i, timer);
}

static void heap_down(struct loop *loop, size_t i)
{
	struct loop_timer *timer = loop->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= loop->heap_len)
			break;
		if (child + 1 < loop->heap_len &&
		    loop->heap[child + 1]->when_us < loop->heap[child]->when_us)
			child++;
		if (loop->heap[child]->when_us >= timer->when_us)
			break;
		heap_put(loop, i, loop->heap[child]);
		i = child;
	}
	heap_put(loop, i, timer);
}

/* Room in the heap is made here, so that loop_timer_set() can't fail. */
int loop_timer_new(struct loop *loop, loop_fn *fn, void *data, struct loop_timer **ret_timer)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	*timer =
		(struct loop_timer){ .loop = loop, .heap_index = SIZE_MAX, .fn = fn, .data = data };
	if (loop->timers == loop->heap_cap) {
		size_t cap = loop->heap_cap ? loop->heap_cap * 2 : 16;
		struct loop_timer **heap =
			reallocarray(loop->heap, cap, sizeof(struct loop_timer *));

		if (!heap) {
			free(timer);
			return -ENOMEM;
		}
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	loop->timers++;
	*ret_timer = timer;
	return 0;
}

void loop_timer_clear(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;
	size_t i = timer->heap_index;
	struct loop_timer *moved;

	if (i == SIZE_MAX)
		return;
	timer->heap_index = SIZE_MAX;
	moved = loop->heap[--loop->heap_len];
	if (moved == timer)
		return;
	heap_put(loop, i, moved);
	heap_up(loop, i);
	heap_down(loop, moved->heap_index);
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_us)
{
	struct loop *loop = timer->loop;

	loop_timer_clear(timer);
	timer->when_us = clock_mono_us() + (delay_us > 0 ? delay_us : 0);
	heap_put(loop, loop->heap_len, timer);
	loop->heap_len++;
	heap_up(loop, loop->heap_len - 1);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_clear(timer);
	timer->loop->timers--;
	free(timer);
}

static int next_timeout_ms(const struct loop *loop)
{
	int64_t left;

	if (loop->heap_len == 0)
		return -1;
	left = loop->heap[0]->when_us - clock_mono_us();
	if (left <= 0)
		return 0;
	left = (left + 999) / 1000;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static void run_timers(struct loop *loop)
{
	int64_t now = clock_mono_us();

	while (loop->heap_len > 0 && loop->heap[0]->when_us <= now) {
		struct loop_timer *timer = loop->heap[0];

		loop_timer_clear(timer);
		timer->fn(timer->data);
	}
}

/* --- calls from other threads --- */

static int enqueue(struct loop *loop, struct posted *p)
{
	uint64_t one = 1;

	if (loop->ended)
		return -ESHUTDOWN;
	*loop->last = p;
	loop->last = &p->next;
	(void)!write(loop->wake_fd, &one, sizeof(one));
	return 0;
}

int loop_post(struct loop *loop, loop_fn *fn, void *data)
{
	struct posted *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct posted){ .fn = fn, .data = data };
	pthread_mutex_lock(&loop->lock);
	r = enqueue(loop, p);
	pthread_mutex_unlock(&loop->lock);
	if (r < 0)
		free(p);
	return r;
}

int loop_call(struct loop *loop, loop_fn *fn, void *data)
{
	struct call_state state = { .done = false };
	struct posted p = { .fn = fn, .data = data, .call = &state };
	int r;

	if (loop_is_mine(loop)) {
		fn(data);
		return 0;
	}
	pthread_mutex_lock(&loop->lock);
	r = enqueue(loop, &p);
	while (r == 0 && !state.done)
		pthread_cond_wait(&loop->call_done, &loop->lock);
	if (r == 0)
		r = state.result;
	pthread_mutex_unlock(&loop->lock);
	return r;
}

static struct posted *take_posted(struct loop *loop)
{
	struct posted *list;

	pthread_mutex_lock(&loop->lock);
	list = loop->first;
	loop->first = NULL;
	loop->last = &loop->first;
	pthread_mutex_unlock(&loop->lock);
	return list;
}

static void finish_call(struct loop *loop, struct posted *p, int result)
{
	if (!p->call) {
		free(p);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	p->call->result = result;
	p->call->done = true;
	pthread_cond_broadcast(&loop->call_done);
	pthread_mutex_unlock(&loop->lock);
}

static void run_posted(struct loop *loop)
{
	struct posted *p = take_posted(loop);

	while (p) {
		struct posted *next = p->next;

		p->fn(p->data);
		finish_call(loop, p, 0);
		p = next;
	}
}

static void on_wake(struct loop *loop)
{
	uint64_t n;

	(void)!read(loop->wake_fd, &n, sizeof(n));
	run_posted(loop);
}

/* --- life --- */

int loop_new(struct loop **ret_loop)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	loop->last = &loop->first;
	loop->thread = pthread_self();
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->call_done, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
		r = -errno;
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

static void drop_posted(struct loop *loop)
{
	struct posted *p;

	pthread_mutex_lock(&loop->lock);
	loop->ended = true;
	pthread_mutex_unlock(&loop->lock);
	p = take_posted(loop);
	while (p) {
		struct posted *next = p->next;

		finish_call(loop, p, -ESHUTDOWN);
		p = next;
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	drop_posted(loop);
	free_dead(loop);
	free(loop->heap);
	close_keep_errno(loop->epoll_fd);
	close_keep_errno(loop->wake_fd);
	pthread_cond_destroy(&loop->call_done);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static void dispatch(struct loop *loop, const struct epoll_event *ev)
{
	struct loop_fd *source = ev->data.ptr;

	if (!source)
		on_wake(loop);
	else if (!source->dead)
		source->fn(source->data, ev->events);
}

int loop_run(struct loop *loop)
{
	struct epoll_event batch[BATCH];

	__atomic_store_n(&loop->thread, pthread_self(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		int n = epoll_wait(loop->epoll_fd, batch, BATCH, next_timeout_ms(loop));

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			dispatch(loop, &batch[i]);
		run_timers(loop);
		free_dead(loop);
	}
	drop_posted(loop);
	__atomic_store_n(&loop->stop, false, __ATOMIC_RELEASE);
	return 0;
}

void loop_stop(struct loop *loop)
{
	uint64_t one = 1;

	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
	(void)!write(loop->wake_fd, &one, sizeof(one));
}
