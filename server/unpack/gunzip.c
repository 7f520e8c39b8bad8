/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/gunzip.h"

#include <errno.h>
#include <unistd.h>

static void begin_member(struct gunzip *gz)
{
	isal_inflate_reset(&gz->state);
	gz->state.crc_flag = ISAL_GZIP;
}

void gunzip_init(struct gunzip *gz, int fd)
{
	gz->fd = fd;
	gz->at = 0;
	gz->at_end = false;
	isal_inflate_init(&gz->state);
	begin_member(gz);
}

/* Bytes that are there for the decoder: 1, or 0 when there are none any more. */
static int fill(struct gunzip *gz)
{
	struct inflate_state *s = &gz->state;
	ssize_t n;

	if (s->avail_in > 0)
		return 1;
	n = pread(gz->fd, gz->in, sizeof(gz->in), (off_t)gz->at);
	if (n < 0)
		return -errno;
	gz->at += (uint64_t)n;
	s->next_in = gz->in;
	s->avail_in = (uint32_t)n;
	return n > 0;
}

/* Behind the end of a member: 1 when another one begins there. */
static int next_member(struct gunzip *gz)
{
	struct inflate_state *s = &gz->state;
	uint8_t next[2];
	ssize_t n = pread(gz->fd, next, sizeof(next), (off_t)(gz->at - s->avail_in));

	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(next) || next[0] != 0x1f || next[1] != 0x8b)
		return 0;
	begin_member(gz);
	return 1;
}

static const char *describe(int code)
{
	switch (code) {
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "a gzip header that is none";
	case ISAL_INCORRECT_CHECKSUM:
		return "the gzip checksum is another one";
	default:
		return "gzip data that is damaged";
	}
}

/* Decodes until the output is full or a member has ended: 1, or 0 when the input is at its end. */
static int decode(struct gunzip *gz, const char **ret_why)
{
	struct inflate_state *s = &gz->state;
	int r = fill(gz);

	if (r < 0)
		return r;
	if (r == 0) {
		*ret_why = "truncated gzip input";
		return -EBADMSG;
	}
	r = isal_inflate(s);
	if (r < 0 || r == ISAL_NEED_DICT) {
		*ret_why = describe(r);
		return -EBADMSG;
	}
	return s->block_state == ISAL_BLOCK_FINISH ? next_member(gz) : 1;
}

ssize_t gunzip_next(struct gunzip *gz, const void **ret_bytes, const char **ret_why)
{
	struct inflate_state *s = &gz->state;

	s->next_out = gz->out;
	s->avail_out = sizeof(gz->out);
	while (!gz->at_end && s->avail_out > 0) {
		int r = decode(gz, ret_why);

		if (r < 0)
			return r;
		gz->at_end = r == 0;
	}
	*ret_bytes = gz->out;
	return (ssize_t)(sizeof(gz->out) - s->avail_out);
}
