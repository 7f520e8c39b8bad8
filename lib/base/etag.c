/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/etag.h"

#include <string.h>

#include "lib/base/macro.h"

bool etag_list_has(const char *list, const char *etag, bool weak)
{
	size_t len = strlen(etag);

	while (*list) {
		bool is_weak;

		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		is_weak = str_has_prefix(list, "W/");
		list += is_weak ? 2 : 0;
		if (*list != '"')
			return false;
		list++;
		if ((weak || !is_weak) && strncmp(list, etag, len) == 0 && list[len] == '"')
			return true;
		list += strcspn(list, "\"");
		list += *list == '"';
	}
	return false;
}
