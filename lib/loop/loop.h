/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one epoll instance, one thread. Descriptors, timers and calls posted by other
 * threads.
 *
 * Everything but loop_post(), loop_call() and loop_stop() may be used by the loop's own thread
 * only. A callback may add and remove any source, its own included. An idle loop with no timer
 * sleeps without end.
 */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

#include "lib/base/macro.h"

struct loop;
struct loop_fd;
struct loop_timer;

/* `events` are EPOLLIN and friends. */
typedef void loop_fd_fn(void *data, uint32_t events);
typedef void loop_fn(void *data);

/* Returns 0 or a negative errno. */
int loop_new(struct loop **ret_loop) MUST_USE;
void loop_free(struct loop *loop);

/*
 * Runs until loop_stop(). Returns 0 or a negative errno of epoll_wait(2). May be called again, but
 * posted calls are refused from the first end on.
 */
int loop_run(struct loop *loop);

/* Ends loop_run() after the callbacks under way. Any thread; async-signal-safe it is not. */
void loop_stop(struct loop *loop);

/* Watches `fd`, which stays the caller's to close, after loop_fd_remove(). */
int loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_fd **ret_source) MUST_USE;
void loop_fd_set_events(struct loop_fd *source, uint32_t events);
/* NULL is fine. */
void loop_fd_remove(struct loop_fd *source);

/*
 * A timer that belongs to the caller from loop_timer_new() to loop_timer_free(), idle until set.
 * Fires once for each loop_timer_set(); setting again replaces.
 */
int loop_timer_new(struct loop *loop, loop_fn *fn, void *data,
		   struct loop_timer **ret_timer) MUST_USE;
void loop_timer_set(struct loop_timer *timer, int64_t delay_us);
void loop_timer_clear(struct loop_timer *timer);
/* NULL is fine. */
void loop_timer_free(struct loop_timer *timer);

/*
 * Any thread: runs fn(data) on the loop's thread later, in order of posting. Returns 0, -ENOMEM, or
 * -ESHUTDOWN once the loop has ended (the call will not run).
 */
int loop_post(struct loop *loop, loop_fn *fn, void *data) MUST_USE;

/*
 * Any thread but the loop's: runs fn(data) on the loop's thread and waits for its end. On the
 * loop's own thread it is called directly. Returns 0, or -ESHUTDOWN when the loop has ended before
 * running it.
 */
int loop_call(struct loop *loop, loop_fn *fn, void *data) MUST_USE;

/* True on the thread that runs (or, before loop_run(), has made) the loop. */
bool loop_is_mine(const struct loop *loop);
