/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request that the Firecracker driver can make, word for word, against golden/fc-<name>.txt.
 * BANGER_GOLDEN=write rewrites them.
 */
#include "server/vmm/fc_requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "server/vmm/fc_process.h"
#include "tests/unit/test.h"

enum { GOLDEN_MAX = 64 * 1024 };

static const char disk_ids[VMM_DISKS_MAX][24] = { "6476901234", "6476905678" };

static struct vmm_config base(void)
{
	return (struct vmm_config){
		.id = "0123456789abcdef",
		.name = "web",
		.run_dir = "/run/vm",
		.vcpus = 2,
		.memory_mib = 512,
		.accel = VMM_ACCEL_KVM,
		.kernel = "/k/vmlinux",
		.initrd = "/k/initramfs",
		.cmdline = "banger.init=agent",
		.disks = { { "root", "/images/a.squashfs", true },
			   { "work", "/vms/web/work.ext4", false } },
		.n_disks = 2,
		.net = { .mode = VMM_NET_TAP,
			 .mac = "02:00:00:12:34:56",
			 .tap_fd = -1,
			 .tap_name = "bgr0123456789ab" },
	};
}

static void line(struct buf *text, const char *method, const char *path, const json_t *body)
{
	autofree char *json = json_text(body);

	assert_non_null(json);
	assert_int_equal(buf_printf(text, "%s %s %s\n", method, path, json), 0);
}

static void assert_golden(struct buf *text, const char *name)
{
	autoclose int dir = open(GOLDEN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofree char *want = NULL;
	char file[64];

	(void)snprintf(file, sizeof(file), "fc-%s.txt", name);
	if (getenv("BANGER_GOLDEN"))
		assert_int_equal(write_file_at(dir, file, buf_bytes(text), buf_len(text), 0644), 0);
	assert_int_equal(buf_append(text, "", 1), 0);
	assert_int_equal(read_file_at(dir, file, GOLDEN_MAX, &want, NULL), 0);
	assert_string_equal((const char *)buf_bytes(text), want);
}

static void boot(const struct vmm_config *config, const char *name)
{
	struct fc_requests requests CLEANUP(fc_requests_done) = { .n = 0 };
	struct buf text CLEANUP(buf_done) = { .max = GOLDEN_MAX };
	struct error err = ERROR_INIT;

	if (fc_boot_requests(config, &FC_MIN_SUPPORTED, disk_ids, &requests, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < requests.n; i++)
		line(&text, requests.v[i].method, requests.v[i].path, requests.v[i].body);
	assert_golden(&text, name);
}

static void all_that_boots_a_vm(void **state)
{
	struct vmm_config config = base();

	(void)state;
	boot(&config, "boot");
	config.initrd = NULL;
	config.cmdline = NULL;
	config.n_disks = 0;
	config.net.mode = VMM_NET_NONE;
	boot(&config, "boot-bare");
}

static void state_and_snapshots(void **state)
{
	struct fc_version old = { 1, 11, 0, "" };
	struct fc_version with_overrides = { 1, 12, 0, "" };
	struct buf text CLEANUP(buf_done) = { .max = GOLDEN_MAX };
	struct vmm_config config = base();
	json_auto_t *paused = fc_vm_state(true);
	json_auto_t *resumed = fc_vm_state(false);
	json_auto_t *create = fc_snapshot_create("/s/state", "/s/memory");
	json_auto_t *load_old = fc_snapshot_load(&config, &old, "/s/state", "/s/memory");
	json_auto_t *load = fc_snapshot_load(&config, &with_overrides, "/s/state", "/s/memory");

	(void)state;
	line(&text, "PATCH", "/vm", paused);
	line(&text, "PATCH", "/vm", resumed);
	line(&text, "PUT", "/snapshot/create", create);
	line(&text, "PUT", "/snapshot/load", load_old);
	line(&text, "PUT", "/snapshot/load", load);
	assert_golden(&text, "snapshot");
}

static void assert_refused(const struct vmm_config *config, enum error_code code)
{
	struct fc_requests requests = { .n = 0 };
	struct error err = ERROR_INIT;

	assert_true(fc_boot_requests(config, &FC_KNOWN_TESTED, disk_ids, &requests, &err) < 0);
	assert_int_equal(err.code, code);
	assert_int_equal(requests.n, 0);
}

static void what_can_not_be_expressed_is_refused(void **state)
{
	struct vmm_config c = base();
	char long_cmdline[4096];

	(void)state;
	c.net.mode = VMM_NET_USER;
	assert_refused(&c, ERR_UNSUPPORTED);
	c = base();
	c.cpu_model = "Nehalem";
	assert_refused(&c, ERR_UNSUPPORTED);
	c = base();
	c.vcpus = 33;
	assert_refused(&c, ERR_INVALID);
	c = base();
	c.memory_mib = 8;
	assert_refused(&c, ERR_INVALID);
	c = base();
	c.net.tap_name = "an-interface-name-too-long";
	assert_refused(&c, ERR_INVALID);
	c = base();
	c.disks[0].serial = "root,work";
	assert_refused(&c, ERR_INVALID);
	c = base();
	memset(long_cmdline, 'x', sizeof(long_cmdline));
	long_cmdline[sizeof(long_cmdline) - 1] = '\0';
	c.cmdline = long_cmdline;
	assert_refused(&c, ERR_INVALID);
}

static void a_disk_id_is_what_firecracker_makes_of_the_file(void **state)
{
	char id[24];

	(void)state;
	fc_disk_id(64769, 0, 1234, id);
	assert_string_equal(id, "6476901234");
	fc_disk_id(18446744073709551615U, 0, 77, id);
	assert_string_equal(id, "18446744073709551615");
}

static void exit_codes_have_a_meaning(void **state)
{
	(void)state;
	assert_non_null(strstr(fc_exit_meaning(0), "rebooted"));
	assert_non_null(strstr(fc_exit_meaning(148), "filter"));
	assert_non_null(strstr(fc_exit_meaning(153), "arguments"));
	assert_null(fc_exit_meaning(99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_boots_a_vm),
		cmocka_unit_test(state_and_snapshots),
		cmocka_unit_test(what_can_not_be_expressed_is_refused),
		cmocka_unit_test(a_disk_id_is_what_firecracker_makes_of_the_file),
		cmocka_unit_test(exit_codes_have_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
