/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum {
	READER_MARK = RING_SIZE / 2, /* bytes that a sleeping reader is woken for */
	WRITER_MARK = RING_SIZE / 2, /* room that a sleeping writer is woken for */
};

struct ring_memory {
	size_t gap;
	_Atomic uint64_t written; /* bytes since the beginning, gaps included */
	_Atomic uint64_t read;
	atomic_bool ended;
	/* Set before sleeping; who clears it rings. */
	atomic_bool reader_sleeps;
	atomic_bool writer_sleeps;
	uint8_t bytes[RING_SIZE] __attribute__((aligned(4096)));
};

int ring_new(struct ring *ring, size_t gap, int *ret_bell)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ring->memory = mmap(NULL, sizeof(*ring->memory), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring->memory == MAP_FAILED || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		int r = -errno;

		ring->memory = NULL;
		close_keep_errno(pair[0]);
		close_keep_errno(pair[1]);
		return r;
	}
	ring->memory->gap = gap;
	ring->bell = pair[0];
	*ret_bell = pair[1];
	return 0;
}

void ring_done(struct ring *ring)
{
	if (ring->memory)
		(void)munmap(ring->memory, sizeof(*ring->memory));
	ring->memory = NULL;
	close_keep_errno(take_fd(&ring->bell));
}

static size_t unread(const struct ring *ring)
{
	return (size_t)(atomic_load(&ring->memory->written) - atomic_load(&ring->memory->read));
}

static void wake(struct ring *ring, atomic_bool *sleeps)
{
	/* A bell that is full of rings will be heard. */
	if (atomic_exchange(sleeps, false))
		(void)send(ring->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Where the memory of `position` begins, and how much of `len` is there in one piece. */
static size_t place(const struct ring *ring, uint64_t position, size_t len, uint8_t **ret_bytes)
{
	size_t at = (size_t)(position % RING_SIZE);
	size_t gap = at % RING_SLOT == 0 ? ring->memory->gap : 0;
	size_t end = ring->memory->gap ? at - at % RING_SLOT + RING_SLOT : RING_SIZE;

	*ret_bytes = ring->memory->bytes + at + gap;
	len = len < end - at ? len : end - at;
	return len < gap ? 0 : len - gap;
}

static void advance(const struct ring *ring, _Atomic uint64_t *position, size_t len)
{
	uint64_t now = atomic_load(position);

	atomic_store(position, now + len + (now % RING_SLOT == 0 ? ring->memory->gap : 0));
}

/* --- reading --- */

size_t ring_bytes(const struct ring *ring, uint8_t **ret_bytes)
{
	return place(ring, atomic_load(&ring->memory->read), unread(ring), ret_bytes);
}

void ring_read(struct ring *ring, size_t len)
{
	if (len > 0)
		advance(ring, &ring->memory->read, len);
	if (ring_room(ring) >= WRITER_MARK)
		wake(ring, &ring->memory->writer_sleeps);
}

bool ring_is_over(const struct ring *ring)
{
	return atomic_load(&ring->memory->ended) && unread(ring) == 0;
}

static bool is_readable(const struct ring *ring)
{
	return atomic_load(&ring->memory->ended) || unread(ring) > 0;
}

/* --- writing --- */

size_t ring_room(const struct ring *ring)
{
	uint64_t read = atomic_load(&ring->memory->read);

	/* What is before the unread bytes of a slot is the reader's. */
	if (ring->memory->gap)
		read -= read % RING_SLOT;
	return RING_SIZE - (size_t)(atomic_load(&ring->memory->written) - read);
}

size_t ring_space(const struct ring *ring, uint8_t **ret_bytes)
{
	return place(ring, atomic_load(&ring->memory->written), ring_room(ring), ret_bytes);
}

void ring_written(struct ring *ring, size_t len)
{
	advance(ring, &ring->memory->written, len);
	if (unread(ring) >= READER_MARK)
		wake(ring, &ring->memory->reader_sleeps);
}

void ring_end(struct ring *ring)
{
	atomic_store(&ring->memory->ended, true);
	wake(ring, &ring->memory->reader_sleeps);
}

/* --- the agent's side --- */

bool ring_want_bytes(struct ring *ring)
{
	atomic_store(&ring->memory->reader_sleeps, true);
	return !is_readable(ring);
}

bool ring_want_room(struct ring *ring, size_t room)
{
	atomic_store(&ring->memory->writer_sleeps, true);
	return ring_room(ring) < room;
}

bool ring_answer(struct ring *ring)
{
	char rings[64];
	ssize_t n = recv(ring->bell, rings, sizeof(rings), MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void ring_hang_up(struct ring *ring)
{
	(void)shutdown(ring->bell, SHUT_WR);
}

/* --- the side of the thread or process --- */

/* Until somebody rings. */
static int sleep_until_rung(struct ring *ring)
{
	char rings[64];
	ssize_t n = recv(ring->bell, rings, sizeof(rings), 0);

	if (n == 0)
		return -EPIPE;
	return n < 0 && errno != EINTR ? -errno : 0;
}

int ring_await_bytes(struct ring *ring)
{
	int r = 0;

	while (r == 0 && !is_readable(ring))
		if (ring_want_bytes(ring))
			r = sleep_until_rung(ring);
	return r;
}

int ring_await_room(struct ring *ring)
{
	int r = 0;

	while (r == 0 && ring_room(ring) == 0)
		if (ring_want_room(ring, 1))
			r = sleep_until_rung(ring);
	return r;
}
