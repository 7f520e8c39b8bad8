/* SPDX-License-Identifier: Apache-2.0 */
/* A header block of 512 bytes, and its numbers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char unused[12];
};

_Static_assert(sizeof(struct tar_header) == 512, "a header is one block");

/* Octal text with its end; false when the value does not fit. */
bool tar_put_number(char *field, size_t size, uint64_t value);
/* Octal text, or GNU's base 256. False for anything else. */
bool tar_get_number(const char *field, size_t size, uint64_t *ret_value);

void tar_set_checksum(struct tar_header *header);
bool tar_checksum_fits(const struct tar_header *header);
