/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RANGES_MAX = 32 };

/* Weight in thousandths; 1000 without or with an unreadable one. */
static int weight_of(const char *p, const char *end)
{
	while ((p = memchr(p, ';', (size_t)(end - p))) != NULL) {
		int q;

		for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
			;
		if (end - p < 3 || strncasecmp(p, "q=", 2) != 0)
			continue;
		p += 2;
		q = *p == '1' ? 1000 : 0;
		if (*p != '0' || end - p < 3 || p[1] != '.')
			return q;
		p += 2;
		for (int scale = 100; scale > 0 && p < end && *p >= '0' && *p <= '9'; scale /= 10)
			q += (*p++ - '0') * scale;
		return q;
	}
	return 1000;
}

/* 3 the type itself, 2 "text/any", 1 "any/any", 0 not matched. */
static int fit(const char *range, size_t len, const char *type)
{
	size_t major = strcspn(type, "/");

	if (len == strlen(type) && strncasecmp(range, type, len) == 0)
		return 3;
	if (len == major + 2 && strncasecmp(range, type, major + 1) == 0 && range[len - 1] == '*')
		return 2;
	return len == 3 && memcmp(range, "*/*", 3) == 0;
}

/* The most specific range that matches decides. */
static int weight_for(const char *accept, const char *type)
{
	const char *p = accept;
	int best_fit = 0;
	int weight = 0;

	for (int i = 0; i < RANGES_MAX && *p; i++) {
		const char *end = strchrnul(p, ',');
		size_t len;
		int f;

		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		len = strcspn(p, ",; \t");
		f = fit(p, len, type);
		if (f > best_fit) {
			best_fit = f;
			weight = weight_of(p, end);
		}
		p = *end ? end + 1 : end;
	}
	return weight;
}

int accept_best(const char *accept, const char *const *offered, size_t n)
{
	int best = -1;
	int best_weight = 0;

	if (!accept || !*accept)
		return n ? 0 : -1;
	for (size_t i = 0; i < n; i++) {
		int w = weight_for(accept, offered[i]);

		if (w > best_weight) {
			best_weight = w;
			best = (int)i;
		}
	}
	return best;
}

bool accept_encoding(const char *accept, const char *coding)
{
	const char *p = accept;

	for (int i = 0; i < RANGES_MAX && *p; i++) {
		const char *end = strchrnul(p, ',');
		size_t len;

		p += strspn(p, " \t");
		len = strcspn(p, ",; \t");
		if (len == strlen(coding) && strncasecmp(p, coding, len) == 0)
			return weight_of(p, end) > 0;
		p = *end ? end + 1 : end;
	}
	return false;
}
