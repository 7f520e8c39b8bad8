/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/header.h"

#include <stdio.h>

bool tar_put_number(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
	return value == 0;
}

static bool get_base256(const char *field, size_t size, uint64_t *ret_value)
{
	uint64_t value = (uint8_t)field[0] & 0x7f;

	if (value & 0x40) /* negative */
		return false;
	for (size_t i = 1; i < size; i++) {
		if (value >> 55)
			return false;
		value = value << 8 | (uint8_t)field[i];
	}
	*ret_value = value;
	return true;
}

bool tar_get_number(const char *field, size_t size, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i = 0;

	if ((uint8_t)field[0] & 0x80)
		return get_base256(field, size, ret_value);
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	if (i < size && field[i] != '\0' && field[i] != ' ')
		return false;
	*ret_value = value;
	return true;
}

/* The sum of all bytes, the checksum's own counted as spaces. */
static uint32_t sum(const struct tar_header *header)
{
	const uint8_t *p = (const uint8_t *)header;
	size_t from = offsetof(struct tar_header, checksum);
	uint32_t total = 0;

	for (size_t i = 0; i < sizeof(*header); i++)
		total += i >= from && i < from + sizeof(header->checksum) ? ' ' : p[i];
	return total;
}

void tar_set_checksum(struct tar_header *header)
{
	(void)snprintf(header->checksum, sizeof(header->checksum), "%06o", sum(header));
	header->checksum[7] = ' ';
}

bool tar_checksum_fits(const struct tar_header *header)
{
	uint64_t value;

	return tar_get_number(header->checksum, sizeof(header->checksum), &value) &&
	       value == sum(header);
}
