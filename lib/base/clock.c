/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t clock_mono_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return clock_wall_us() / 1000;
}

char *clock_format_ms(int64_t wall_ms, char *buf)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char day[24];

	(void)gmtime_r(&s, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf, 32, "%s.%03dZ", day, (int)(wall_ms % 1000));
	return buf;
}

int64_t clock_parse_ms(const char *text)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms = 0;
	long hours;
	char *end;

	if (!p)
		return INT64_MIN;
	if (*p == '.')
		for (int scale = 100; p++, *p >= '0' && *p <= '9'; scale /= 10)
			ms += (int64_t)(*p - '0') * scale;
	ms += (int64_t)timegm(&tm) * 1000;
	if ((*p == 'Z' || *p == 'z') && !p[1])
		return ms;
	if (*p != '+' && *p != '-')
		return INT64_MIN;
	hours = strtol(p + 1, &end, 10);
	if (end != p + 3 || *end != ':')
		return INT64_MIN;
	ms -= (*p == '-' ? -1 : 1) * (hours * 60 + strtol(end + 1, NULL, 10)) * 60000;
	return ms;
}
