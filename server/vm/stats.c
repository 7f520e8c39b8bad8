/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's timer makes a list of what is to be measured and hands it to the sampler's thread;
 * that reads /proc, which can take milliseconds for a large guest, and brings the list back by a
 * call on the loop. One list is under way at a time: a slow host is measured less often, never
 * twice at once. The host is measured with each list, which is empty while somebody watches it and
 * no VM has a process.
 */
#include "server/vm/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/host_history.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/net_stats.h"
#include "server/vmm/proc_stats.h"

struct target {
	char id[ID_LEN + 1];
	struct proc proc; /* pid and start time alone */
	struct vmm_stats stats;
	uint64_t disk_bytes;
	struct net_counters net;
	bool net_known;
	int64_t mono_us;
	bool measured;
};

struct vms_sampler {
	struct vms *vms;
	struct loop_timer *timer;
	bool armed;
	int64_t watched_until_us; /* monotonic */
	struct host_history history;
	pthread_t thread;
	pthread_mutex_t lock; /* a leaf; guards what follows */
	pthread_cond_t wake;
	struct target *targets; /* the thread's from `work` until it is through */
	size_t n;
	struct host_stats host; /* the same */
	bool work;
	bool quit;
};

/* --- the thread --- */

static void measure(const struct vms_sampler *s, struct target *t)
{
	char path[ID_LEN + 16];
	autoclose int run_fd = -1;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/work.ext4", t->id);
	if (proc_stats(&t->proc, &t->stats) < 0)
		return;
	if (fstatat(s->vms->vms_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		t->disk_bytes = (uint64_t)st.st_blocks * 512;
	run_fd = open_beneath(s->vms->run_fd, t->id, O_RDONLY | O_DIRECTORY, 0);
	t->net_known = run_fd >= 0 && net_stats(run_fd, &t->net) == 0;
	t->mono_us = clock_mono_us();
	t->measured = true;
}

static void bring_back(void *data);

static bool wait_for_work(struct vms_sampler *s)
{
	bool quit;

	(void)pthread_mutex_lock(&s->lock);
	while (!s->work && !s->quit)
		(void)pthread_cond_wait(&s->wake, &s->lock);
	quit = s->quit;
	(void)pthread_mutex_unlock(&s->lock);
	return !quit;
}

static void *run(void *data)
{
	struct vms_sampler *s = data;

	while (wait_for_work(s)) {
		host_stats_read(s->vms->vms_fd, &s->host);
		for (size_t i = 0; i < s->n; i++)
			measure(s, &s->targets[i]);
		if (loop_call(s->vms->c.loop, bring_back, s) < 0)
			break;
	}
	return NULL;
}

/* --- the loop --- */

static uint32_t kib(uint64_t bytes)
{
	return bytes >> 10 > UINT32_MAX ? UINT32_MAX : (uint32_t)(bytes >> 10);
}

/* Adds it to what all VMs take. */
static void store(struct vm *vm, const struct target *t, struct host_vms *all)
{
	struct stats_sample sample = { .at_ms = clock_wall_ms(),
				       .read_bytes = t->stats.disk_read_bytes,
				       .written_bytes = t->stats.disk_written_bytes,
				       .net = t->net,
				       .net_known = t->net_known,
				       .rss_kib = kib(t->stats.rss_bytes),
				       .pss_kib = kib(t->stats.pss_bytes),
				       .private_kib = kib(t->stats.private_bytes),
				       .disk_kib = kib(t->disk_bytes) };

	if (!vm->stats) {
		vm->stats = malloc(sizeof(*vm->stats));
		if (!vm->stats)
			return;
		stats_history_init(vm->stats, STATS_FINE_MAX, STATS_COARSE_MAX);
	}
	stats_history_add(vm->stats, &sample, t->proc.pid, t->stats.cpu_us, t->mono_us,
			  (int64_t)STATS_COARSE_S * 1000);
	all->n++;
	all->cpu_permille += sample.cpu_permille;
	all->memory_bytes += t->stats.pss_bytes;
	if (t->stats.rss_bytes > t->stats.pss_bytes)
		all->memory_shared_bytes += t->stats.rss_bytes - t->stats.pss_bytes;
}

static void arm(struct vms_sampler *s, int64_t in_us)
{
	s->armed = true;
	loop_timer_set(s->timer, in_us);
}

static void bring_back(void *data)
{
	struct vms_sampler *s = data;
	struct host_vms all = { 0 };

	for (size_t i = 0; i < s->n; i++) {
		struct vm *vm = s->targets[i].measured ? vms_find(s->vms, s->targets[i].id) : NULL;

		if (vm)
			store(vm, &s->targets[i], &all);
	}
	host_history_add(&s->history, clock_wall_ms(), &s->host, &all,
			 (int64_t)STATS_COARSE_S * 1000);
	free(s->targets);
	s->targets = NULL;
	s->n = 0;
	(void)pthread_mutex_lock(&s->lock);
	s->work = false;
	(void)pthread_mutex_unlock(&s->lock);
	arm(s, (int64_t)STATS_FINE_S * 1000000);
}

/* False when no VM has a process. */
static bool make_list(struct vms_sampler *s)
{
	s->targets = calloc(s->vms->count, sizeof(*s->targets));
	s->n = 0;
	for (struct vm *vm = s->vms->first; s->targets && vm; vm = vm->next) {
		struct target *t = &s->targets[s->n];

		if (vm->proc.pidfd < 0)
			continue;
		memcpy(t->id, vm->row.id, sizeof(t->id));
		t->proc = (struct proc){ .pid = vm->proc.pid,
					 .start_time = vm->proc.start_time,
					 .pidfd = -1 };
		s->n++;
	}
	if (s->n > 0)
		return true;
	free(s->targets);
	s->targets = NULL;
	return false;
}

static void on_timer(void *data)
{
	struct vms_sampler *s = data;

	s->armed = false;
	if (make_list(s))
		vms_check_room(s->vms);
	else if (clock_mono_us() >= s->watched_until_us)
		return;
	/* Until the list is back. */
	s->armed = true;
	(void)pthread_mutex_lock(&s->lock);
	s->work = true;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
}

static struct vms_sampler *sampler_new(struct vms *vms)
{
	struct vms_sampler *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->vms = vms;
	host_history_init(&s->history, STATS_FINE_S, STATS_FINE_MAX, STATS_COARSE_MAX);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->wake, NULL);
	if (loop_timer_new(vms->c.loop, on_timer, s, &s->timer) < 0 ||
	    pthread_create(&s->thread, NULL, run, s) != 0) {
		loop_timer_free(s->timer);
		free(s);
		return NULL;
	}
	return s;
}

static void measure_in(struct vms *vms, int64_t in_us)
{
	if (!vms->sampler)
		vms->sampler = sampler_new(vms);
	if (!vms->sampler)
		log_fields(LOG_WARN, "VMs are not measured", "error", strerrordesc_np(ENOMEM),
			   NULL);
	else if (!vms->sampler->armed)
		arm(vms->sampler, in_us);
}

void vms_measure(struct vms *vms)
{
	measure_in(vms, (int64_t)STATS_FINE_S * 1000000);
}

void vms_sampler_free(struct vms_sampler *s)
{
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->quit = true;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	loop_timer_free(s->timer);
	(void)pthread_cond_destroy(&s->wake);
	(void)pthread_mutex_destroy(&s->lock);
	host_history_done(&s->history);
	free(s->targets);
	free(s);
}

/* --- for the API --- */

/* Whether the samples of every few seconds go back so far. */
static bool stats_fine(int64_t since_ms)
{
	return clock_wall_ms() - since_ms <= (int64_t)STATS_FINE_S * STATS_FINE_MAX * 1000;
}

json_t *vms_host_history_json(struct vms *vms, int64_t since_ms)
{
	bool fine = stats_fine(since_ms);
	json_t *o = json_pack("{s:i}", "step_s", fine ? STATS_FINE_S : STATS_COARSE_S);
	const struct host_history *h;

	measure_in(vms, 0);
	if (!vms->sampler) {
		(void)json_object_set_new(o, "samples", json_array());
		return o;
	}
	vms->sampler->watched_until_us = clock_mono_us() + (int64_t)STATS_WATCHED_S * 1000000;
	h = &vms->sampler->history;
	(void)json_object_set_new(o, "samples",
				  host_history_json(fine ? &h->fine : &h->coarse, since_ms));
	return o;
}

static json_t *bytes_of(uint32_t amount_kib)
{
	return json_integer((json_int_t)amount_kib << 10);
}

static json_t *common_json(const struct stats_sample *s)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "cpu", json_real(s->cpu_permille / 1000.0));
	(void)json_object_set_new(o, "memory_rss_bytes", bytes_of(s->rss_kib));
	(void)json_object_set_new(o, "memory_pss_bytes", bytes_of(s->pss_kib));
	(void)json_object_set_new(o, "memory_private_bytes", bytes_of(s->private_kib));
	(void)json_object_set_new(o, "disk_used_bytes", bytes_of(s->disk_kib));
	return o;
}

static void add_net(json_t *o, const struct stats_sample *s)
{
	const struct {
		const char *name;
		uint64_t value;
	} values[] = { { "net_rx_bytes", s->net.rx_bytes },
		       { "net_rx_packets", s->net.rx_packets },
		       { "net_tx_bytes", s->net.tx_bytes },
		       { "net_tx_packets", s->net.tx_packets } };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		(void)json_object_set_new(o, values[i].name,
					  s->net_known ? json_integer((json_int_t)values[i].value)
						       : json_null());
}

static json_t *sample_json(const struct stats_sample *s)
{
	json_t *o = common_json(s);
	char when[32];

	(void)json_object_set_new(o, "at", json_string(clock_format_ms(s->at_ms, when)));
	(void)json_object_set_new(o, "disk_read_bytes", json_integer((json_int_t)s->read_bytes));
	(void)json_object_set_new(o, "disk_written_bytes",
				  json_integer((json_int_t)s->written_bytes));
	add_net(o, s);
	return o;
}

bool vm_net_counters(const struct vm *vm, struct net_counters *ret_counters)
{
	const struct stats_history *h = vm->stats;
	const struct stats_sample *last;

	if (!h || vm->proc.pidfd < 0 || h->fine.n == 0)
		return false;
	last = ring_last(&h->fine);
	*ret_counters = last->net;
	return last->net_known;
}

json_t *vm_stats_now_json(const struct vm *vm)
{
	const struct stats_history *h = vm->stats;

	if (!h || vm->proc.pidfd < 0 || h->fine.n == 0)
		return NULL;
	return sample_json(ring_last(&h->fine));
}

json_t *vm_stats_json(const struct vm *vm, int64_t since_ms)
{
	bool fine = stats_fine(since_ms);
	const struct stats_history *h = vm->stats;
	json_t *now = vm_stats_now_json(vm);
	json_t *o = json_object();
	json_t *samples = json_array();

	(void)json_object_set_new(o, "step_s", json_integer(fine ? STATS_FINE_S : STATS_COARSE_S));
	(void)json_object_set_new(o, "samples", samples);
	if (now)
		(void)json_object_set_new(o, "now", now);
	if (!h)
		return o;
	(void)json_object_set_new(o, "peak", common_json(&h->peak));
	for (size_t i = 0;; i++) {
		const struct stats_sample *s = ring_at(fine ? &h->fine : &h->coarse, i);

		if (!s)
			return o;
		if (s->at_ms > since_ms)
			(void)json_array_append_new(samples, sample_json(s));
	}
}
