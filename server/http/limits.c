/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/limits.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

enum { SECOND_US = 1000000 };

/* libmicrohttpd sees the end of the connection and cleans up. */
static void hang_up(struct client *c)
{
	client_busy(c);
	(void)shutdown(c->fd, SHUT_RDWR);
}

static void set_timer(struct clients *clients)
{
	struct client *oldest = clients->waiting.next;

	if (oldest == &clients->waiting)
		loop_timer_clear(clients->timer);
	else
		loop_timer_set(clients->timer, oldest->deadline_us - clock_mono_us());
}

static void on_deadline(void *data)
{
	struct clients *clients = data;
	int64_t now = clock_mono_us();

	while (clients->waiting.next != &clients->waiting &&
	       clients->waiting.next->deadline_us <= now)
		hang_up(clients->waiting.next);
	set_timer(clients);
}

int clients_init(struct clients *clients, struct loop *loop, unsigned int max,
		 int64_t request_time_us)
{
	*clients = (struct clients){ .loop = loop, .max = max, .request_time_us = request_time_us };
	clients->waiting.next = &clients->waiting;
	clients->waiting.prev = &clients->waiting;
	return loop_timer_new(loop, on_deadline, clients, &clients->timer);
}

void clients_done(struct clients *clients)
{
	loop_timer_free(clients->timer);
	clients->timer = NULL;
}

struct client *client_new(struct clients *clients, int fd, uid_t uid)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct client){ .owner = clients, .fd = fd, .uid = uid, .prev = c, .next = c };
	if (++clients->n > clients->most)
		clients->most = clients->n;
	client_idle(c);
	if (clients->n > clients->max - clients->max / 8)
		hang_up(clients->waiting.next);
	return c;
}

/* Each connection had a piece of the heap, and pieces in use lie between those that are free: the
 * allocator gives nothing back by itself after a crowd. */
static void give_back(struct clients *clients)
{
	enum { CROWD = 64 };

	if (clients->most < CROWD || clients->n > clients->most / 8)
		return;
	clients->most = clients->n;
	(void)malloc_trim(0);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_busy(c);
	c->owner->n--;
	give_back(c->owner);
	free(c);
}

/* The timer may then fire once for nothing; that is cheaper than setting it for every request. */
void client_busy(struct client *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->prev = c;
	c->next = c;
}

void client_idle(struct client *c)
{
	struct clients *clients = c->owner;
	bool first = clients->waiting.next == &clients->waiting;

	client_busy(c);
	c->deadline_us = clock_mono_us() + clients->request_time_us;
	c->next = &clients->waiting;
	c->prev = clients->waiting.prev;
	c->prev->next = c;
	clients->waiting.prev = c;
	if (first && clients->timer)
		set_timer(clients);
}

/* --- rates --- */

/* The caller's bucket; a newcomer takes the one that was used least recently. */
static struct bucket *bucket_of(struct rates *rates, const char *who, int64_t now_us)
{
	struct bucket *oldest = &rates->callers[0];

	for (size_t i = 0; i < CALLERS_MAX; i++) {
		struct bucket *b = &rates->callers[i];

		if (strcmp(b->who, who) == 0)
			return b;
		if (b->at_us < oldest->at_us)
			oldest = b;
	}
	*oldest = (struct bucket){ .level = (int64_t)CHANGES_BURST * 1000, .at_us = now_us };
	(void)snprintf(oldest->who, sizeof(oldest->who), "%s", who);
	return oldest;
}

bool rates_take(struct rates *rates, const char *who, int64_t now_us, int *ret_wait_s)
{
	struct bucket *b = bucket_of(rates, who, now_us);
	int64_t passed = now_us - b->at_us;

	/* Beyond ten seconds it is full in any case. */
	if (passed > 10 * SECOND_US)
		passed = 10 * SECOND_US;
	b->level += passed * CHANGES_PER_S / 1000;
	if (b->level > (int64_t)CHANGES_BURST * 1000)
		b->level = (int64_t)CHANGES_BURST * 1000;
	b->at_us = now_us;
	if (b->level >= 1000) {
		b->level -= 1000;
		return true;
	}
	*ret_wait_s = 1;
	return false;
}
