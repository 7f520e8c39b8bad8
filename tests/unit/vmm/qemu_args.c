/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line, read in full against golden/<name>.txt. BANGER_GOLDEN=write rewrites them.
 */
#include "server/vmm/qemu_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

enum { GOLDEN_MAX = 64 * 1024 };

static struct vmm_config base(void)
{
	return (struct vmm_config){
		.id = "0123456789abcdef",
		.name = "web",
		.run_dir = "/run/vm",
		.vcpus = 2,
		.memory_mib = 512,
		.accel = VMM_ACCEL_TCG,
		.kernel = "/k/vmlinux",
		.initrd = "/k/initramfs",
		.cmdline = "quiet banger.init=agent",
		.disks = { { "banger-root", "/images/a,b.squashfs", true },
			   { "banger-work", "/vms/web/work.ext4", false } },
		.n_disks = 2,
		.net = { .mode = VMM_NET_NONE, .mac = "02:00:00:12:34:56", .tap_fd = -1 },
	};
}

/* One word a line. */
static void assert_golden(const struct qemu_launch *launch, const char *name)
{
	struct qemu_args args CLEANUP(qemu_args_done) = { .n = 0 };
	struct buf text CLEANUP(buf_done) = { .max = GOLDEN_MAX };
	struct error err = ERROR_INIT;
	autofree char *want = NULL;
	char file[64];

	if (qemu_args_build(launch, &args, &err) < 0)
		fail_msg("%s", err.msg);
	assert_null(args.v[args.n]);
	for (size_t i = 0; i < args.n; i++)
		assert_int_equal(buf_printf(&text, "%s\n", args.v[i]), 0);
	autoclose int dir = open(GOLDEN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(file, sizeof(file), "%s.txt", name);
	if (getenv("BANGER_GOLDEN"))
		assert_int_equal(write_file_at(dir, file, buf_bytes(&text), buf_len(&text), 0644),
				 0);
	assert_int_equal(buf_append(&text, "", 1), 0);
	assert_int_equal(read_file_at(dir, file, GOLDEN_MAX, &want, NULL), 0);
	assert_string_equal((const char *)buf_bytes(&text), want);
}

static void emulated(void **state)
{
	struct vmm_config config = base();

	(void)state;
	assert_golden(&(struct qemu_launch){ .binary = "/usr/bin/qemu-system-x86_64",
					     .config = &config,
					     .tsc_khz = 2400000 },
		      "emulated");
}

static void with_kvm_and_a_tap(void **state)
{
	struct vmm_config config = base();

	(void)state;
	config.accel = VMM_ACCEL_KVM;
	config.initrd = NULL;
	config.cmdline = NULL;
	config.n_disks = 0;
	assert_golden(&(struct qemu_launch){ .binary = "/usr/bin/qemu-system-x86_64",
					     .config = &config,
					     .tsc_khz = 2400000,
					     .net = QEMU_NET_TAP },
		      "kvm-tap");
}

static void a_clone_with_user_network(void **state)
{
	struct vmm_config config = base();

	(void)state;
	config.cpu_model = "max";
	assert_golden(&(struct qemu_launch){ .binary = "/usr/bin/qemu-system-x86_64",
					     .config = &config,
					     .net = QEMU_NET_STREAM,
					     .memory_private = true,
					     .incoming = true },
		      "clone-user");
}

static void a_closed_network(void **state)
{
	struct vmm_config config = base();

	(void)state;
	assert_golden(&(struct qemu_launch){ .binary = "/usr/bin/qemu-system-x86_64",
					     .config = &config,
					     .net = QEMU_NET_CLOSED },
		      "closed");
}

static void assert_refused(const struct vmm_config *config, enum qemu_net net)
{
	struct qemu_launch launch = { .binary = "/q", .config = config, .net = net };
	struct qemu_args args = { .n = 0 };
	struct error err = ERROR_INIT;

	assert_int_equal(qemu_args_build(&launch, &args, &err), -EINVAL);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(args.n, 0);
}

/* Nothing that a caller chooses can become another option. */
static void what_can_not_be_expressed_is_refused(void **state)
{
	static const char *const serials[] = { "", "a,b", "with space", "x=y",
					       "123456789012345678901" };
	static const char *const macs[] = { "",
					    "02:00:00:12:34",
					    "02:00:00:12:34:5",
					    "02:00:00:12:34:56,x",
					    "02-00-00-12-34-56",
					    "zz:00:00:12:34:56" };
	static const char *const models[] = { "", "-machine", "host kvm", "a\n" };
	struct vmm_config c;
	char long_cmdline[4096];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
		c = base();
		c.disks[1].serial = serials[i];
		assert_refused(&c, QEMU_NET_NONE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
		c = base();
		c.net.mac = macs[i];
		assert_refused(&c, QEMU_NET_CLOSED);
	}
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		c = base();
		c.cpu_model = models[i];
		assert_refused(&c, QEMU_NET_NONE);
	}
	c = base();
	c.vcpus = 0;
	assert_refused(&c, QEMU_NET_NONE);
	c = base();
	c.memory_mib = 1;
	assert_refused(&c, QEMU_NET_NONE);
	c = base();
	c.accel = VMM_ACCEL_NONE;
	assert_refused(&c, QEMU_NET_NONE);
	c = base();
	c.kernel = "vmlinux";
	assert_refused(&c, QEMU_NET_NONE);
	c = base();
	c.disks[0].path = "disk";
	assert_refused(&c, QEMU_NET_NONE);
	c = base();
	memset(long_cmdline, 'x', sizeof(long_cmdline));
	long_cmdline[sizeof(long_cmdline) - 1] = '\0';
	c.cmdline = long_cmdline;
	assert_refused(&c, QEMU_NET_NONE);
}

static void versions_parse_and_compare(void **state)
{
	struct qemu_version v;

	(void)state;
	assert_int_equal(
		qemu_version_parse("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopy", &v), 0);
	assert_true(v.major == 7 && v.minor == 2 && v.patch == 22);
	assert_int_equal(qemu_version_parse("QEMU emulator version 10.1", &v), 0);
	assert_true(v.major == 10 && v.minor == 1 && v.patch == 0);
	assert_int_equal(qemu_version_parse("QEMU emulator version x", &v), -EINVAL);
	assert_int_equal(qemu_version_parse("qemu 7.2.0", &v), -EINVAL);
	assert_true(qemu_version_at_least(&(struct qemu_version){ 7, 2, 0 }, &QEMU_VERSION_MIN));
	assert_true(qemu_version_at_least(&(struct qemu_version){ 10, 0, 0 }, &QEMU_VERSION_MIN));
	assert_false(qemu_version_at_least(&(struct qemu_version){ 7, 1, 9 }, &QEMU_VERSION_MIN));
	assert_false(qemu_version_at_least(&(struct qemu_version){ 6, 9, 9 }, &QEMU_VERSION_MIN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulated),
		cmocka_unit_test(with_kvm_and_a_tap),
		cmocka_unit_test(a_clone_with_user_network),
		cmocka_unit_test(a_closed_network),
		cmocka_unit_test(what_can_not_be_expressed_is_refused),
		cmocka_unit_test(versions_parse_and_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
