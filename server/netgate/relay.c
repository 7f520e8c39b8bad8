/* SPDX-License-Identifier: Apache-2.0 */
#include "server/netgate/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "server/netgate/frames.h"

enum { BUFFER = 4 * (FRAME_MAX + FRAME_HEADER) };

/*
 * One direction. data[0..ready) goes out next, `sent` of it is out; data[ready..end) is not yet
 * dealt with: half a frame, where frames are filtered.
 */
struct flow {
	int in;
	int out;
	bool filtered;
	struct frame_tally tally;
	uint64_t *bytes; /* where the tally is shown */
	uint64_t *packets;
	size_t sent;
	size_t ready;
	size_t end;
	uint8_t data[BUFFER];
};

static struct flow up;
static struct flow down;

static bool wants_input(const struct flow *f)
{
	return f->ready == 0;
}

/* After input: what of it may go on. False ends the relay. */
static bool sort_out(struct flow *f)
{
	size_t keep = f->end;
	size_t taken = f->end;

	if (f->filtered && !frames_filter(f->data, f->end, &keep, &taken))
		return false;
	memmove(f->data + keep, f->data + taken, f->end - taken);
	f->end -= taken - keep;
	f->ready = keep;
	f->sent = 0;
	frames_count(&f->tally, f->data, keep);
	__atomic_store_n(f->bytes, f->tally.bytes, __ATOMIC_RELAXED);
	__atomic_store_n(f->packets, f->tally.frames, __ATOMIC_RELAXED);
	return true;
}

static bool take_in(struct flow *f)
{
	ssize_t n = read(f->in, f->data + f->end, sizeof(f->data) - f->end);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	f->end += (size_t)n;
	return sort_out(f);
}

static bool put_out(struct flow *f)
{
	ssize_t n = write(f->out, f->data + f->sent, f->ready - f->sent);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	f->sent += (size_t)n;
	if (f->sent < f->ready)
		return true;
	f->end -= f->ready;
	memmove(f->data, f->data + f->ready, f->end);
	f->ready = 0;
	f->sent = 0;
	return true;
}

static short events_in(const struct flow *f)
{
	return wants_input(f) ? POLLIN : 0;
}

static short events_out(const struct flow *f)
{
	return wants_input(f) ? 0 : POLLOUT;
}

/* One turn of one direction, with what poll said of its two ends. */
static bool turn(struct flow *f, short in, short out)
{
	if (wants_input(f))
		return (in & (POLLIN | POLLHUP | POLLERR)) == 0 || take_in(f);
	return (out & (POLLOUT | POLLHUP | POLLERR)) == 0 || put_out(f);
}

void relay_run(int vmm_fd, int passt_fd, struct net_counters *counters)
{
	up = (struct flow){ .in = vmm_fd,
			    .out = passt_fd,
			    .filtered = true,
			    .bytes = &counters->tx_bytes,
			    .packets = &counters->tx_packets };
	down = (struct flow){ .in = passt_fd,
			      .out = vmm_fd,
			      .bytes = &counters->rx_bytes,
			      .packets = &counters->rx_packets };
	(void)fcntl(vmm_fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(passt_fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = vmm_fd, .events = (short)(events_in(&up) | events_out(&down)) },
			{ .fd = passt_fd, .events = (short)(events_in(&down) | events_out(&up)) },
		};

		if (ppoll(p, 2, NULL, NULL) < 0 && errno != EINTR)
			return;
		/* A side that has hung up ends all: there is nobody left to talk to. */
		if (!turn(&up, p[0].revents, p[1].revents) ||
		    !turn(&down, p[1].revents, p[0].revents) ||
		    ((p[0].revents | p[1].revents) & (POLLHUP | POLLERR | POLLNVAL)))
			return;
	}
}
