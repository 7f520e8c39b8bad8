/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/etag.h"

#include <string.h>

#include "lib/base/macro.h"

static const char *skip_gap(const char *p)
{
	return p + strspn(p, " \t,");
}

static bool is_any(const char *list)
{
	list += strspn(list, " \t");
	return *list == '*' && list[1 + strspn(list + 1, " \t")] == '\0';
}

/* Behind the tag that begins at `p`, or NULL where none does. */
static const char *tag_end(const char *p)
{
	p += str_has_prefix(p, "W/") ? 2 : 0;
	if (*p++ != '"')
		return NULL;
	while ((unsigned char)*p > ' ' && *p != '"' && *p != 127)
		p++;
	return *p == '"' ? p + 1 : NULL;
}

bool etag_list_valid(const char *list)
{
	bool any = false;

	if (is_any(list))
		return true;
	for (list = skip_gap(list); *list; any = true) {
		const char *next;

		list = tag_end(list);
		if (!list)
			return false;
		next = skip_gap(list);
		if (*next && !memchr(list, ',', (size_t)(next - list)))
			return false;
		list = next;
	}
	return any;
}

bool etag_list_has(const char *list, const char *etag, bool weak)
{
	size_t len = strlen(etag);

	if (!etag_list_valid(list))
		return false;
	if (is_any(list))
		return true;
	for (list = skip_gap(list); *list; list = skip_gap(tag_end(list))) {
		bool is_weak = *list == 'W';
		const char *tag = list + (is_weak ? 3 : 1);

		if ((weak || !is_weak) && strncmp(tag, etag, len) == 0 && tag[len] == '"')
			return true;
	}
	return false;
}
