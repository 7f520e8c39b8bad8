/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/frame.h"

#include <errno.h>

#include "tests/unit/test.h"

struct seen {
	uint32_t n;
	uint64_t sum; /* over types, lengths and bytes, in order */
};

static int note(void *data, uint8_t type, const uint8_t *payload, size_t len)
{
	struct seen *seen = data;

	seen->n++;
	seen->sum = seen->sum * 31 + type;
	seen->sum = seen->sum * 31 + len;
	for (size_t i = 0; i < len; i++)
		seen->sum = seen->sum * 31 + payload[i];
	return type == 0xee ? -EPROTO : 0;
}

static void frames_arrive_whole_however_they_are_cut(void **state)
{
	static const size_t sizes[] = { 0, 1, 4, 5, 100, 5000, 0, 70000, 3 };
	static uint8_t payload[70000];
	struct seen want = { .n = 0 };
	struct buf wire;

	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	buf_init(&wire, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t half = sizes[i] / 2;

		assert_int_equal(link_frame_append(&wire, (uint8_t)i, payload, half, payload + half,
						   sizes[i] - half),
				 0);
		(void)note(&want, (uint8_t)i, payload, sizes[i]);
	}
	for (size_t step = 1; step < 9000; step = step * 3 + 1) {
		struct link_decoder decoder;
		struct seen seen = { .n = 0 };

		link_decoder_init(&decoder);
		for (size_t at = 0; at < buf_len(&wire); at += step) {
			size_t n = buf_len(&wire) - at < step ? buf_len(&wire) - at : step;

			assert_int_equal(
				link_decoder_feed(&decoder, buf_bytes(&wire) + at, n, note, &seen),
				0);
		}
		assert_int_equal(seen.n, want.n);
		assert_true(seen.sum == want.sum);
		link_decoder_done(&decoder);
	}
	buf_done(&wire);
}

static void a_frame_beyond_the_limit_is_refused_by_its_header(void **state)
{
	uint8_t header[LINK_FRAME_HEADER] = { 1 };
	struct link_decoder decoder;
	struct seen seen = { .n = 0 };

	(void)state;
	for (size_t cut = 0; cut < sizeof(header); cut++) {
		int r = 0;

		link_put_u32(header + 1, LINK_EXEC_FRAME_MAX + 1);
		link_decoder_init(&decoder);
		if (cut > 0)
			r = link_decoder_feed(&decoder, header, cut, note, &seen);
		assert_int_equal(r, 0);
		assert_int_equal(link_decoder_feed(&decoder, header + cut, sizeof(header) - cut,
						   note, &seen),
				 -EMSGSIZE);
		link_decoder_done(&decoder);
	}
	assert_int_equal(seen.n, 0);
}

static void the_receivers_error_ends_the_decoding(void **state)
{
	struct link_decoder decoder;
	struct seen seen = { .n = 0 };
	struct buf wire;

	(void)state;
	buf_init(&wire, 1024);
	link_decoder_init(&decoder);
	assert_int_equal(link_frame_append(&wire, 0xee, "x", 1, NULL, 0), 0);
	assert_int_equal(link_frame_append(&wire, 1, "y", 1, NULL, 0), 0);
	assert_int_equal(link_decoder_feed(&decoder, buf_bytes(&wire), buf_len(&wire), note, &seen),
			 -EPROTO);
	assert_int_equal(seen.n, 1);
	link_decoder_done(&decoder);
	buf_done(&wire);
}

static void a_frame_is_appended_whole_or_not_at_all(void **state)
{
	struct buf wire;

	(void)state;
	buf_init(&wire, 8);
	assert_int_equal(link_frame_append(&wire, 1, "abcd", 4, NULL, 0), -ENOBUFS);
	assert_int_equal(buf_len(&wire), 0);
	assert_int_equal(link_frame_append(&wire, 1, "abc", 3, NULL, 0), 0);
	assert_int_equal(buf_len(&wire), 8);
	buf_done(&wire);
}

static void numbers_are_big_endian(void **state)
{
	uint8_t p[8];

	(void)state;
	link_put_u64(p, 0x0102030405060708);
	assert_memory_equal(p, "\1\2\3\4\5\6\7\10", 8);
	assert_true(link_get_u64(p) == 0x0102030405060708);
	assert_int_equal(link_get_u32(p), 0x01020304);
	assert_int_equal(link_get_u16(p), 0x0102);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_whole_however_they_are_cut),
		cmocka_unit_test(a_frame_beyond_the_limit_is_refused_by_its_header),
		cmocka_unit_test(the_receivers_error_ends_the_decoding),
		cmocka_unit_test(a_frame_is_appended_whole_or_not_at_all),
		cmocka_unit_test(numbers_are_big_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
