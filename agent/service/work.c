/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/work.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"

enum {
	/* The ring is told of as much at once, so that both sides find something to do. */
	PIECE = 128 * 1024,
	/* With less room the peer has to wait. */
	ROOM_MIN = RING_SIZE / 4,
	THREAD_STACK = 512 * 1024,
};
static_assert((int)ROOM_MIN >= (int)LINK_DATA_MAX,
	      "what is given to a reader that does not wait has room");

/* A thread's own, until the agent has joined it. */
struct maker {
	pthread_t thread;
	struct work_side side;
	work_fn *run;
	bool failed; /* told by the end */
	uint8_t data[] __attribute__((aligned(16)));
};

struct work {
	struct agent *agent;
	struct link_stream *stream; /* NULL: gone */
	struct work_spec spec;
	bool paused; /* the stream is, until there is room */
	bool over;   /* all of the stream's bytes have come */
	bool reaped;
	struct maker *maker;  /* NULL: a process takes */
	struct error failure; /* of a process: told once the stream is over */
	pid_t pid;
	int why_fd; /* the process says here why it failed */
	struct ring ring;
	struct loop_fd *source; /* of the ring's bell */
};

static void work_free(struct work *w)
{
	w->agent->works--;
	loop_fd_remove(w->source);
	ring_done(&w->ring);
	close_keep_errno(w->why_fd);
	free(w);
}

static void tell_end(const struct work *w, struct link_stream *stream, const struct error *err)
{
	if (w->spec.ended)
		w->spec.ended(w->spec.data, stream, err);
}

static void resume(struct work *w)
{
	if (!w->paused)
		return;
	w->paused = false;
	link_stream_resume(w->stream);
}

/* False while the stream goes on: a client that still sends would not see a reply. */
static bool end_taking(struct work *w)
{
	if (w->failure.code != ERR_NONE && !w->over)
		return false;
	link_stream_set_ops(w->stream, NULL, NULL);
	tell_end(w, w->stream, &w->failure);
	return true;
}

static void note_failure(struct work *w)
{
	if (read(w->why_fd, &w->failure, sizeof(w->failure)) != (ssize_t)sizeof(w->failure))
		(void)error_set(&w->failure, ERR_GUEST, "the process for it was killed");
	w->failure.msg[sizeof(w->failure.msg) - 1] = '\0';
	resume(w); /* what still comes is dropped */
}

static void on_process_ended(void *data, int status)
{
	struct work *w = data;

	w->reaped = true;
	if (w->stream && status != 0)
		note_failure(w);
	if (!w->stream || end_taking(w))
		work_free(w);
}

/* It has closed its bell, which is the last that it does. */
static void on_thread_ended(struct work *w)
{
	struct maker *maker = TAKE_PTR(w->maker);
	bool failed;

	(void)pthread_join(maker->thread, NULL);
	failed = maker->failed;
	free(maker);
	w->reaped = true;
	if (w->stream && !failed) {
		link_stream_lent(w->stream); /* up to the end; freed when the stream is closed */
		return;
	}
	if (w->stream)
		link_stream_reset(w->stream);
	work_free(w);
}

/* Some has been taken, or made. */
static void on_bell(void *data, uint32_t events)
{
	struct work *w = data;

	(void)events;
	if (!ring_answer(&w->ring)) {
		loop_fd_remove(TAKE_PTR(w->source));
		if (w->maker) {
			on_thread_ended(w);
			return;
		}
	}
	if (!w->stream)
		return;
	if (!w->spec.takes)
		link_stream_lent(w->stream);
	else if (w->paused && !ring_want_room(&w->ring, ROOM_MIN))
		resume(w);
}

bool work_give(struct work *w, const uint8_t *bytes, size_t len)
{
	while (len > 0 && !w->reaped) {
		uint8_t *space;
		size_t n = ring_space(&w->ring, &space);

		n = n < len ? n : len;
		assert(n > 0);
		memcpy(space, bytes, n);
		ring_written(&w->ring, n);
		bytes += n;
		len -= n;
	}
	w->paused =
		!w->reaped && ring_room(&w->ring) < ROOM_MIN && ring_want_room(&w->ring, ROOM_MIN);
	return !w->paused;
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	return work_give(data, bytes, len);
}

static void on_end(void *data)
{
	struct work *w = data;

	if (!w->spec.takes)
		return;
	w->over = true;
	if (!w->reaped)
		ring_end(&w->ring);
	else if (end_taking(w))
		work_free(w);
}

static ssize_t on_lend(void *data, uint8_t **ret_bytes, bool *ret_end)
{
	struct work *w = data;
	size_t n = ring_bytes(&w->ring, ret_bytes);

	if (n == 0 && !ring_want_bytes(&w->ring))
		n = ring_bytes(&w->ring, ret_bytes);
	*ret_end = n == 0 && ring_is_over(&w->ring);
	return (ssize_t)n;
}

static void on_taken(void *data, size_t len)
{
	struct work *w = data;

	ring_read(&w->ring, len);
}

void work_stop(struct work *w)
{
	w->stream = NULL;
	if (w->reaped)
		work_free(w);
	else if (w->maker)
		ring_hang_up(&w->ring); /* freed when it has ended */
	else
		(void)kill(w->pid, SIGKILL); /* freed when it is reaped */
}

static void on_closed(void *data, const char *why)
{
	struct work *w = data;
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_CANCELLED, "the stream ended: %s", why ? why : "too early");
	tell_end(w, NULL, &err);
	work_stop(w);
}

static const struct link_stream_ops work_ops = {
	.data = on_data, .end = on_end, .lend = on_lend, .taken = on_taken, .closed = on_closed
};

/* --- the thread or process --- */

ssize_t work_next(void *side, const uint8_t **ret_bytes)
{
	struct work_side *s = side;
	uint8_t *bytes;
	size_t n;
	int r;

	ring_read(&s->ring, s->lent);
	s->lent = 0;
	r = ring_await_bytes(&s->ring);
	if (r < 0)
		return r;
	n = ring_bytes(&s->ring, &bytes);
	*ret_bytes = bytes;
	s->lent = n < PIECE ? n : PIECE;
	return (ssize_t)s->lent;
}

ssize_t work_room(void *side, uint8_t **ret_room)
{
	struct work_side *s = side;
	int r = ring_await_room(&s->ring);
	size_t n;

	if (r < 0)
		return r;
	n = ring_space(&s->ring, ret_room);
	return (ssize_t)(n < PIECE ? n : PIECE);
}

int work_filled(void *side, size_t len)
{
	struct work_side *s = side;

	ring_written(&s->ring, len);
	return 0;
}

/* The process holds no more of our descriptors than it needs: it must not keep links or bells open.
 */
static int keep_fds(struct work_side *side, int *why_fd)
{
	int *fds[] = { &side->fd, &side->ring.bell, why_fd };
	enum { FIRST = 3, END = FIRST + ARRAY_SIZE(fds) };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, END);
		if (*fds[i] < 0)
			return -1;
	}
	for (int i = 0; i < (int)ARRAY_SIZE(fds); i++) {
		if (dup2(*fds[i], FIRST + i) < 0)
			return -1;
		*fds[i] = FIRST + i;
	}
	return close_range(END, ~0U, 0);
}

__attribute__((noreturn)) static void run(const struct work_spec *spec, struct work_side *side,
					  int why_fd)
{
	struct error err = ERROR_INIT;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(0);
	if (keep_fds(side, &why_fd) < 0)
		_exit(1);
	r = spec->run(side, spec->run_data, &err);
	if (r < 0)
		(void)!write(why_fd, &err, sizeof(err));
	_exit(r < 0 ? 1 : 0);
}

static void *make(void *data)
{
	struct maker *maker = data;
	struct error err = ERROR_INIT; /* a reset has no room for words */

	maker->failed = maker->run(&maker->side, maker->data, &err) < 0;
	close_keep_errno(take_fd(&maker->side.fd));
	if (!maker->failed)
		ring_end(&maker->side.ring);
	close_keep_errno(take_fd(&maker->side.ring.bell));
	return NULL;
}

/* Signals are for the loop's thread. */
static int start_thread(struct maker *maker)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;
	int r;

	if (pthread_attr_init(&attr) != 0)
		return -ENOMEM;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (r == 0)
		r = pthread_create(&maker->thread, &attr, make, maker);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

static int start_maker(struct work *w)
{
	const struct work_spec *spec = &w->spec;
	struct maker *maker = calloc(1, sizeof(*maker) + spec->run_size);
	int r;

	if (!maker)
		return -ENOMEM;
	*maker = (struct maker){ .run = spec->run, .side = { .fd = -1 } };
	if (spec->run_size > 0)
		memcpy(maker->data, spec->run_data, spec->run_size);
	maker->side.ring.bell = -1;
	r = ring_new(&w->ring, LINK_FRAME_HEAD, &maker->side.ring.bell);
	maker->side.ring.memory = w->ring.memory;
	if (r == 0)
		maker->side.fd = fcntl(spec->fd, F_DUPFD_CLOEXEC, 0);
	if (r == 0 && maker->side.fd < 0)
		r = -errno;
	if (r == 0)
		r = loop_fd_add(w->agent->loop, w->ring.bell, EPOLLIN, on_bell, w, &w->source);
	if (r == 0)
		r = start_thread(maker);
	if (r < 0) {
		close_keep_errno(maker->side.fd);
		close_keep_errno(maker->side.ring.bell);
		free(maker);
		return r;
	}
	w->maker = maker;
	return 0;
}

static int start_process(struct work *w)
{
	struct work_side side = { .fd = w->spec.fd };
	int why[2] = { -1, -1 };
	int r = ring_new(&w->ring, 0, &side.ring.bell);

	if (r < 0)
		return r;
	side.ring.memory = w->ring.memory;
	if (pipe2(why, O_CLOEXEC) < 0) {
		close_keep_errno(side.ring.bell);
		return -errno;
	}
	(void)fcntl(why[0], F_SETFL, O_NONBLOCK);
	w->why_fd = why[0];
	w->pid = fork();
	if (w->pid == 0)
		run(&w->spec, &side, why[1]);
	r = w->pid < 0 ? -errno : 0;
	close_keep_errno(side.ring.bell);
	close_keep_errno(why[1]);
	if (r == 0)
		r = loop_fd_add(w->agent->loop, w->ring.bell, EPOLLIN, on_bell, w, &w->source);
	if (r == 0)
		r = agent_child_add(w->agent, w->pid, on_process_ended, w);
	if (r < 0 && w->pid > 0)
		(void)kill(w->pid, SIGKILL); /* reaped as one that nobody asks for */
	return r;
}

int work_start(struct agent *agent, struct link_stream *stream, const struct work_spec *spec,
	       struct work **ret_work, struct error *err)
{
	struct work *w = agent->works < WORKS_MAX ? calloc(1, sizeof(*w)) : NULL;
	int r;

	if (agent->works >= WORKS_MAX)
		return error_set(
			err, ERR_UNAVAILABLE,
			"%d transfers of this guest are under way, the most at once: try "
			"again when one has ended. One that was given up stays while its "
			"file system does not answer: mend or unmount that, or restart the "
			"VM",
			WORKS_MAX);
	if (!w)
		return error_errno(err, -ENOMEM, "begin a transfer");
	*w = (struct work){
		.agent = agent, .stream = stream, .spec = *spec, .why_fd = -1, .failure = ERROR_INIT
	};
	w->ring.bell = -1;
	agent->works++;
	r = spec->takes ? start_process(w) : start_maker(w);
	if (r < 0) {
		work_free(w);
		return error_errno(err, r, "make a %s for a transfer",
				   spec->takes ? "process" : "thread");
	}
	link_stream_set_ops(stream, &work_ops, w);
	*ret_work = w;
	return 0;
}
