/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) as it is read, by ISA-L: three times as fast as zlib, and most of what an image
 * costs is to decompress it. Checksums are held against what comes out. Several members make one
 * stream; what follows the last one is ignored, as gzip(1) does.
 */
#pragma once

#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"

enum { GUNZIP_IN = 64 * 1024, GUNZIP_OUT = 128 * 1024 };

struct gunzip {
	int fd;      /* seekable; borrowed */
	uint64_t at; /* of the next byte to be read from it */
	bool at_end;
	struct inflate_state state;
	uint8_t in[GUNZIP_IN];
	uint8_t out[GUNZIP_OUT];
};

/* Reads the file from its start. */
void gunzip_init(struct gunzip *gz, int fd);

/*
 * The next bytes, borrowed until the next call: their number, 0 at the end, or a negative errno of
 * reading, of which -EBADMSG is damage; *ret_why says then what it is.
 */
ssize_t gunzip_next(struct gunzip *gz, const void **ret_bytes, const char **ret_why) MUST_USE;
