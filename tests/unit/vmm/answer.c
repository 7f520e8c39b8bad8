/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM says of its guest comes in pieces, and from a side that may be hostile. */
#include <errno.h>
#include <stdio.h>

#include "server/vmm/vmm.h"
#include "tests/unit/test.h"

#define GREETING                                                             \
	"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n{\"event\": " \
	"\"STOP\"}\r\n{\"return\": {}}\r\n"
#define STATUS(s) "{\"return\": {\"status\": \"" s "\", \"running\": true}}\r\n"
#define OK        "HTTP/1.1 200 \r\nContent-Type: application/json\r\n\r\n"

static const struct {
	const struct vmm_driver *driver;
	const char *said;
	int result;
	enum vmm_guest guest;
} rows[] = {
	{ &vmm_qemu, GREETING STATUS("running"), 1, VMM_GUEST_RUNS },
	{ &vmm_qemu, GREETING STATUS("paused"), 1, VMM_GUEST_STANDS },
	{ &vmm_qemu, GREETING STATUS("postmigrate"), 1, VMM_GUEST_STANDS },
	{ &vmm_qemu, GREETING STATUS("io-error"), 1, VMM_GUEST_NO_ROOM },
	{ &vmm_qemu, GREETING STATUS("internal-error"), 1, VMM_GUEST_HALTED },
	{ &vmm_qemu, GREETING STATUS("dancing"), -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_qemu, "{\"error\": {}}\n", -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_qemu, "HTTP/1.1 200 OK\n", -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_qemu, "[]\n\"x\"\n", 0, VMM_GUEST_RUNS },
	{ &vmm_firecracker, OK "{\"id\": \"x\", \"state\": \"Running\"}", 1, VMM_GUEST_RUNS },
	{ &vmm_firecracker, OK "{\"state\": \"Paused\"}", 1, VMM_GUEST_STANDS },
	{ &vmm_firecracker, OK "{\"state\": \"Not started\"}", -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_firecracker, OK "{}", -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_firecracker, "HTTP/1.1 400 \r\n", -EPROTO, VMM_GUEST_RUNS },
	{ &vmm_firecracker, OK, 0, VMM_GUEST_RUNS },
};

static void every_answer_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum vmm_guest guest = VMM_GUEST_RUNS;
		int r = rows[i].driver->read_answer(rows[i].said, strlen(rows[i].said), &guest);

		if (r != rows[i].result || guest != rows[i].guest)
			fail_msg("%s: %d and guest %d", rows[i].said, r, (int)guest);
	}
}

static void half_an_answer_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t whole = strlen(rows[i].said);
		enum vmm_guest guest;

		/* A line's end is the last that QEMU needs. */
		for (size_t len = 0; rows[i].result == 1 && len + 1 < whole; len++)
			assert_int_equal(rows[i].driver->read_answer(rows[i].said, len, &guest), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_is_read),
		cmocka_unit_test(half_an_answer_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
