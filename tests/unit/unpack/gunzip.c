/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/gunzip.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

enum { PLAIN = 700 * 1024, ROOM = 1 << 20 };

struct bytes {
	uint8_t *data;
	size_t len;
};

static void bytes_done(struct bytes *b)
{
	free(b->data);
}

/* Text that repeats, and does not. */
static struct bytes plain(size_t len)
{
	struct bytes b = { .data = malloc(len), .len = len };
	uint32_t x = 1;

	assert_non_null(b.data);
	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		b.data[i] = (uint8_t)(i / 4096 % 2 ? x >> 24 : 'a' + i % 7);
	}
	return b;
}

static size_t pack(const struct bytes *from, uint8_t *to, size_t room)
{
	struct isal_zstream z;

	isal_deflate_init(&z);
	z.gzip_flag = IGZIP_GZIP;
	z.end_of_stream = 1;
	z.next_in = from->data;
	z.avail_in = (uint32_t)from->len;
	z.next_out = to;
	z.avail_out = (uint32_t)room;
	assert_int_equal(isal_deflate(&z), COMP_OK);
	return z.total_out;
}

/* Everything that comes out of these bytes; a negative errno with the reason, or 0. */
static int unpack(const uint8_t *packed, size_t len, struct bytes *ret_out, const char **ret_why)
{
	struct gunzip *gz = malloc(sizeof(*gz));
	autoclose int fd = memfd_create("gz", MFD_CLOEXEC);
	const void *piece;
	ssize_t n;

	assert_non_null(gz);
	assert_int_equal(write_all(fd, packed, len), 0);
	*ret_out = (struct bytes){ .data = malloc(4 * ROOM) };
	*ret_why = NULL;
	gunzip_init(gz, fd);
	while ((n = gunzip_next(gz, &piece, ret_why)) > 0) {
		assert_true(ret_out->len + (size_t)n <= 4 * ROOM);
		memcpy(ret_out->data + ret_out->len, piece, (size_t)n);
		ret_out->len += (size_t)n;
	}
	assert_true(n < 0 || gz->at <= len);
	free(gz);
	return (int)n;
}

static void what_went_in_comes_out(void **state)
{
	static const size_t sizes[] = { 0, 1, 511, GUNZIP_OUT - 1, GUNZIP_OUT, PLAIN };
	autofree uint8_t *packed = malloc(ROOM);
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct bytes in CLEANUP(bytes_done) = plain(sizes[i] + 1);
		struct bytes out CLEANUP(bytes_done) = { 0 };

		in.len = sizes[i];
		assert_int_equal(unpack(packed, pack(&in, packed, ROOM), &out, &why), 0);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
	}
}

static void members_follow_each_other(void **state)
{
	struct bytes in CLEANUP(bytes_done) = plain(PLAIN);
	struct bytes out CLEANUP(bytes_done) = { 0 };
	autofree uint8_t *packed = calloc(1, 2 * ROOM);
	const char *why;
	size_t len = pack(&in, packed, ROOM);

	(void)state;
	len += pack(&in, packed + len, ROOM);
	/* Zeros behind the last one, as some writers pad. */
	assert_int_equal(unpack(packed, len + 512, &out, &why), 0);
	assert_int_equal(out.len, 2 * in.len);
	assert_memory_equal(out.data, in.data, in.len);
	assert_memory_equal(out.data + in.len, in.data, in.len);
}

static void damage_is_told(void **state)
{
	struct bytes in CLEANUP(bytes_done) = plain(3000);
	autofree uint8_t *packed = malloc(ROOM);
	const char *why;
	size_t len = pack(&in, packed, ROOM);

	(void)state;
	for (size_t cut = 0; cut < len; cut += 7) {
		struct bytes out CLEANUP(bytes_done) = { 0 };

		assert_int_equal(unpack(packed, cut, &out, &why), -EBADMSG);
		assert_string_equal(why, "truncated gzip input");
	}
	/* The checksum, and the length behind it. */
	for (size_t i = 1; i <= 8; i++) {
		struct bytes out CLEANUP(bytes_done) = { 0 };

		packed[len - i] ^= 1;
		assert_int_equal(unpack(packed, len, &out, &why), -EBADMSG);
		assert_string_equal(why, "the gzip checksum is another one");
		packed[len - i] ^= 1;
	}
	/* Any byte of the content: refused, or the same comes out. */
	for (size_t i = 0; i < len; i++) {
		struct bytes out CLEANUP(bytes_done) = { 0 };

		packed[i] ^= 0x10;
		if (unpack(packed, len, &out, &why) == 0) {
			assert_int_equal(out.len, in.len);
			assert_memory_equal(out.data, in.data, in.len);
		} else {
			assert_non_null(why);
		}
		packed[i] ^= 0x10;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_in_comes_out),
		cmocka_unit_test(members_follow_each_other),
		cmocka_unit_test(damage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
