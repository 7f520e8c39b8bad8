/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is. Runs with the same label `queue` are a queue. The next one is of the queue that
 * has the fewest runs under way; among those, of the one that was served least recently; and of a
 * queue the oldest. One run of a quiet queue thus comes before the many of a busy one, also where
 * only one run may be under way.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/run/run_internal.h"

enum { QUEUES_MAX = 256 };

/* One that was served; those served last come first. One that is forgotten counts as never served.
 */
struct run_queue {
	struct run_queue *next;
	uint64_t served; /* counts up with each turn */
	char name[256];
};

static const char *queue_of(const struct run *run)
{
	const char *queue = json_string_value(json_object_get(run->spec.labels, "queue"));

	return queue ? queue : "";
}

static uint64_t last_served(const struct runs *runs, const char *name)
{
	for (const struct run_queue *q = runs->queues; q; q = q->next)
		if (streq(q->name, name))
			return q->served;
	return 0;
}

static struct run_queue *take_queue(struct runs *runs, const char *name)
{
	struct run_queue **at = &runs->queues;
	struct run_queue *q;
	unsigned int n = 0;

	for (; *at && !streq((*at)->name, name); at = &(*at)->next)
		if (++n == QUEUES_MAX)
			break;
	q = *at;
	if (!q)
		return calloc(1, sizeof(*q));
	*at = q->next;
	return q;
}

void turns_served(const struct run *run)
{
	struct runs *runs = run->runs;
	struct run_queue *q = take_queue(runs, queue_of(run));

	if (!q) {
		log_warn("out of memory: queue '%s' may get two turns in a row", queue_of(run));
		return;
	}
	(void)snprintf(q->name, sizeof(q->name), "%s", queue_of(run));
	q->served = ++runs->served;
	q->next = runs->queues;
	runs->queues = q;
}

void turns_forget(struct runs *runs)
{
	while (runs->queues) {
		struct run_queue *q = runs->queues;

		runs->queues = q->next;
		free(q);
	}
}

/* --- places --- */

struct queue {
	const char *name; /* borrowed from a run */
	unsigned int count;
	uint64_t served;
};

struct place {
	struct run *run;
	unsigned int count; /* of its queue, when its turn has come */
	uint64_t served;
	unsigned int age;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;

	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	if (x->served != y->served)
		return x->served < y->served ? -1 : 1;
	return x->age < y->age ? -1 : 1;
}

static struct queue *find_queue(const struct runs *runs, struct queue *queues, size_t *n,
				const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (streq(queues[i].name, name))
			return &queues[i];
	queues[*n] = (struct queue){ .name = name, .served = last_served(runs, name) };
	return &queues[(*n)++];
}

/* Without memory for it, the order in which they came. */
static void find_places(struct runs *runs)
{
	autofree struct place *places = calloc(runs->n + 1, sizeof(*places));
	autofree struct queue *queues = calloc(runs->n + 1, sizeof(*queues));
	bool fair = places && queues;
	size_t n_queues = 0;
	unsigned int n = 0;

	for (struct run *run = runs->first; fair && run; run = run->next)
		if (run->state == RUN_RUNNING)
			find_queue(runs, queues, &n_queues, queue_of(run))->count++;
	for (struct run *run = runs->first; run; run = run->next) {
		run->position = 0;
		if (run->state != RUN_QUEUED || run->cancelled)
			continue;
		run->position = n + 1;
		if (fair) {
			struct queue *q = find_queue(runs, queues, &n_queues, queue_of(run));

			places[n] = (struct place){ run, q->count++, q->served, n };
		}
		n++;
	}
	if (fair)
		qsort(places, n, sizeof(*places), compare_places);
	for (unsigned int i = 0; fair && i < n; i++)
		places[i].run->position = i + 1;
	runs->places_known = true;
}

unsigned int turns_position(const struct run *run)
{
	if (!run->runs->places_known)
		find_places(run->runs);
	return run->position;
}

struct run *turns_next(struct runs *runs)
{
	struct run *run = runs->first;

	while (run && turns_position(run) != 1)
		run = run->next;
	return run;
}
