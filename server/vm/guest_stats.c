/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/guest_stats.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/macro.h"

enum { NETWORKS_MAX = 32, NAME_MAX_ = 31, LOADS = 3 };

/* An amount that JSON's readers can hold too. */
static const json_t *amount(const json_t *o, const char *name)
{
	const json_t *n = json_object_get(o, name);

	return json_is_integer(n) && json_integer_value(n) >= 0 &&
			       json_integer_value(n) <= INT64_C(9007199254740991)
		       ? n
		       : NULL;
}

static void copy(json_t *to, const char *name, const json_t *from, const char *as)
{
	const json_t *n = amount(from, as);

	if (n)
		(void)json_object_set_new(to, name, json_integer(json_integer_value(n)));
}

static void copy_load(json_t *to, const json_t *from)
{
	json_t *load = json_array();

	for (size_t i = 0; i < LOADS; i++) {
		const json_t *n = json_array_get(from, i);

		if (!json_is_number(n) || json_number_value(n) < 0 || json_number_value(n) > 1e6) {
			json_decref(load);
			return;
		}
		(void)json_array_append_new(load, json_real(json_number_value(n)));
	}
	(void)json_object_set_new(to, "load", load);
}

static void copy_networks(json_t *to, const json_t *from)
{
	json_t *list = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach (from, i, one) {
		const char *name = json_string_value(json_object_get(one, "name"));
		json_t *o;

		if (!name || strlen(name) > NAME_MAX_ || json_array_size(list) == NETWORKS_MAX)
			continue;
		o = json_pack("{s:s}", "name", name);
		copy(o, "received_bytes", one, "rx_bytes");
		copy(o, "sent_bytes", one, "tx_bytes");
		(void)json_array_append_new(list, o);
	}
	(void)json_object_set_new(to, "networks", list);
}

json_t *guest_stats_json(const json_t *said, int64_t asked_us, int64_t answered_us)
{
	static const char *const same[] = {
		"uptime_us",          "cpus",
		"cpu_busy_us",        "cpu_idle_us",
		"memory_total_bytes", "memory_available_bytes",
		"swap_total_bytes",   "swap_free_bytes",
		"disk_total_bytes",   "disk_free_bytes",
		"processes",          "execs_running",
	};
	const json_t *time = amount(said, "realtime_us");
	json_t *o = json_object();
	char when[32];

	(void)json_object_set_new(o, "at", json_string(clock_format_ms(answered_us / 1000, when)));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		copy(o, same[i], said, same[i]);
	copy_load(o, json_object_get(said, "load"));
	copy_networks(o, json_object_get(said, "network"));
	if (time)
		(void)json_object_set_new(o, "clock_off_ms",
					  json_integer((json_integer_value(time) -
							(asked_us + (answered_us - asked_us) / 2)) /
						       1000));
	return o;
}
