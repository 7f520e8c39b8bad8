/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/range.h"

#include "lib/base/macro.h"

/* Digits; what is beyond any file is INT64_MAX. NULL when there is no digit. */
static const char *read_number(const char *s, uint64_t *ret_n)
{
	uint64_t n = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n > (INT64_MAX - 9) / 10 ? INT64_MAX : n * 10 + (uint64_t)(*s - '0');
	*ret_n = n;
	return s;
}

bool api_range_parse(const char *header, struct guest_range *ret_range)
{
	uint64_t from = 0, to = 0;
	const char *s;

	if (!header || !str_has_prefix(header, "bytes="))
		return false;
	s = header + strlen("bytes=");
	if (*s == '-') {
		s = read_number(s + 1, &to);
		if (!s || *s)
			return false;
		*ret_range = (struct guest_range){ .length = to, .from_end = true };
		return true;
	}
	s = read_number(s, &from);
	if (!s || *s != '-')
		return false;
	if (s[1] == '\0') {
		*ret_range = (struct guest_range){ .offset = from, .length = UINT64_MAX };
		return true;
	}
	s = read_number(s + 1, &to);
	if (!s || *s || to < from)
		return false;
	*ret_range = (struct guest_range){ .offset = from, .length = to - from + 1 };
	return true;
}

bool api_range_place(const struct guest_range *range, uint64_t size, uint64_t *ret_from,
		     uint64_t *ret_length)
{
	uint64_t from = range->offset;

	if (range->from_end)
		from = range->length < size ? size - range->length : 0;
	if (from >= size || range->length == 0)
		return false;
	*ret_from = from;
	*ret_length = range->length < size - from ? range->length : size - from;
	return true;
}
