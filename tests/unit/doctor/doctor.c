/* SPDX-License-Identifier: Apache-2.0 */
#include "server/doctor/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/helper/wire.h"
#include "tests/unit/test.h"

static const char helper_unit[] =
	"ActiveState=active\nNoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=yes\n"
	"RestrictSUIDSGID=yes\nLockPersonality=yes\nCapabilityBoundingSet=" HELPER_CAPABILITIES
	"\n";
static const char server_unit[] =
	"ActiveState=active\nNoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=read-only\n"
	"RestrictSUIDSGID=yes\nLockPersonality=yes\nUser=ann\n";
static const char install_record[] =
	"version = \"0.1.0\"\nowner = \"ann\"\nowner_uid = 1000\n"
	"helper_socket = \"/run/banger-helper/helper.sock\"\n"
	"server_socket = \"/run/banger/server.sock\"\nfirecracker = \"/usr/bin/firecracker\"\n";

/* A machine on which everything is fine, and what a test takes away from it. */
struct machine {
	int db; /* result of check_db */
	bool db_absent;
	bool no_helper;
	bool no_programs;
	bool no_install;
	bool no_virt;
	const char *forward;
	const char *helper_unit;
	const char *server_unit;
	mode_t socket_mode;
	uid_t socket_uid;
	mode_t binary_mode;
	uid_t binary_uid;
	int kvm;
	uint64_t room;
	int helper_result;
	unsigned int helper_lacks;
	bool systemctl_fails;
	/* What a file says in place of what it says on a machine on which all is fine. */
	const char *path;
	const char *text;
};

static struct machine machine;
static struct vmm_probe firecracker;
static const struct vmm_driver *chosen;
static const struct vmm_driver driver_fc = { .name = "firecracker" };
static const struct vmm_driver driver_qemu = { .name = "qemu" };

static int m_lstat(void *data, const char *path, struct stat *st)
{
	const struct machine *m = data;

	*st = (struct stat){ 0 };
	if (streq(path, "/db"))
		return m->db_absent ? -ENOENT : 0;
	if (streq(path, "/usr/bin/firecracker")) {
		st->st_mode = m->binary_mode;
		st->st_uid = m->binary_uid;
		return 0;
	}
	if (m->no_helper)
		return -ENOENT;
	st->st_mode = m->socket_mode;
	st->st_uid = m->socket_uid;
	return 0;
}

static const struct {
	const char *path;
	const char *text;
} fine[] = {
	{ "/proc/sys/kernel/osrelease", "6.1.0-41-cloud-amd64\n" },
	{ "/sys/devices/system/cpu/smt/active", "0\n" },
	{ "/sys/kernel/mm/ksm/run", "0\n" },
	{ "/sys/module/kvm_intel/parameters/ept", "Y\n" },
	{ "/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n" },
	{ "/sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers\n" },
	{ "/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n" },
	{ "/proc/self/mountinfo", "22 1 0:20 / /sys rw - sysfs sysfs rw\n"
				  "30 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
				  "31 1 0:27 / /tmp rw - tmpfs tmpfs rw\n" },
};

static int m_read(void *data, const char *path, char **ret_text)
{
	const struct machine *m = data;
	const char *text = NULL;

	if (streq(path, HELPER_INSTALL_RECORD) && !m->no_install)
		text = install_record;
	else if (streq(path, "/proc/cpuinfo"))
		text = m->no_virt ? "processor\t: 0\nflags\t\t: fpu svmx vme\nbugs\t: vmx\n"
				  : "processor\t: 0\nflags\t\t: fpu vmx\n";
	else if (streq(path, "/proc/sys/net/ipv4/ip_forward"))
		text = m->forward;
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		if (streq(path, fine[i].path))
			text = fine[i].text;
	if (m->path && streq(path, m->path))
		text = m->text;
	if (!text)
		return -ENOENT;
	*ret_text = strdup(text);
	return 0;
}

static int m_run(void *data, const char *const *argv, char **ret_out)
{
	const struct machine *m = data;
	const char *unit = NULL;

	if (m->systemctl_fails || !streq(argv[0], "systemctl"))
		return -ENOENT;
	for (; *argv; argv++)
		unit = *argv;
	*ret_out = strdup(streq(unit, HELPER_UNIT) ? m->helper_unit : m->server_unit);
	return 0;
}

static int m_has_program(void *data, const char *name)
{
	const struct machine *m = data;

	(void)name;
	return !m->no_programs;
}

static int m_room(void *data, const char *path, uint64_t *ret_bytes)
{
	const struct machine *m = data;

	if (!streq(path, "/var/lib"))
		return -ENOENT;
	*ret_bytes = m->room;
	return 0;
}

static int m_may_write(void *data, const char *path)
{
	const struct machine *m = data;

	assert_string_equal(path, "/dev/kvm");
	return m->kvm;
}

static int m_check_db(void *data, const char *path, char *why, size_t size)
{
	const struct machine *m = data;

	assert_string_equal(path, "/db");
	(void)snprintf(why, size, "file is not a database");
	return m->db;
}

static int m_helper_status(void *data, const char *socket, char *version, size_t size,
			   unsigned int *ret_lacks)
{
	const struct machine *m = data;

	(void)socket;
	*ret_lacks = m->helper_lacks;
	(void)snprintf(version, size, "0.1.0");
	return m->helper_result;
}

static const struct vmm_driver *m_choose(const char *wanted, struct vmm_probe *ret_probe, char *why,
					 size_t why_size, struct error *err)
{
	(void)wanted;
	*ret_probe = (struct vmm_probe){ .usable = true, .version = "1", .path = "/bin/vmm" };
	(void)snprintf(why, why_size, "hardware KVM works");
	if (!chosen)
		(void)error_set(err, ERR_UNAVAILABLE, "nothing is installed");
	return chosen;
}

static void m_probe(struct vmm_probe *ret_probe)
{
	*ret_probe = firecracker;
}

static const struct doctor_host host = {
	.data = &machine,
	.lstat = m_lstat,
	.read = m_read,
	.run = m_run,
	.has_program = m_has_program,
	.room = m_room,
	.may_write = m_may_write,
	.check_db = m_check_db,
	.helper_status = m_helper_status,
	.choose = m_choose,
	.probe_firecracker = m_probe,
};

static struct doctor_context ctx;
static struct doctor_report report;

static int setup(void **state)
{
	(void)state;
	machine = (struct machine){
		.forward = "1\n",
		.helper_unit = helper_unit,
		.server_unit = server_unit,
		.socket_mode = S_IFSOCK | 0600,
		.socket_uid = 1000,
		.binary_mode = S_IFREG | 0755,
		.room = 100ULL << 30,
	};
	firecracker = (struct vmm_probe){ .usable = true, .detail = "v1.14.1 at /usr/bin/x" };
	chosen = &driver_fc;
	ctx = (struct doctor_context){
		.host = &host,
		.db_path = "/db",
		.state_dir = "/var/lib/banger/state",
		.vmm = "auto",
		.n_images = 1,
		.n_kernels = 1,
		.helper_socket = HELPER_SOCKET,
		.dns_enabled = true,
		.dns_port = 42069,
	};
	return 0;
}

static const struct doctor_row *row(const char *name)
{
	doctor_check(&ctx, &report);
	for (size_t i = 0; i < report.n_rows; i++)
		if (streq(report.rows[i].name, name))
			return &report.rows[i];
	fail_msg("no row named %s", name);
	return &report.rows[0];
}

static enum doctor_status status(const char *name)
{
	return row(name)->status;
}

static void a_host_in_order_passes_everywhere(void **state)
{
	(void)state;
	doctor_check(&ctx, &report);
	for (size_t i = 0; i < report.n_rows; i++) {
		assert_int_equal(report.rows[i].status, DOCTOR_PASS);
		assert_string_equal(report.rows[i].remedy, "");
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(report.rows[i].name, report.rows[j].name);
	}
	assert_int_equal(doctor_worst(&report), DOCTOR_PASS);
}

static void what_the_server_can_mend_has_its_request(void **state)
{
	json_auto_t *report_json = NULL;
	const json_t *check;
	size_t offered = 0;
	size_t i;

	(void)state;
	assert_null(row("image")->fix.path);
	ctx.n_images = 0;
	ctx.n_kernels = 0;
	machine.room = 1;
	machine.no_programs = true;
	assert_string_equal(row("image")->fix.path, "/images");
	assert_string_equal(row("kernel")->fix.path, "/kernels");
	assert_string_equal(row("disk room")->fix.path, "/cache/prune");
	/* Installing programs is for whoever administers the host. */
	assert_int_equal(status("work disk"), DOCTOR_FAIL);
	assert_null(row("work disk")->fix.path);
	assert_int_equal(doctor_run(&ctx, &report_json), 0);
	json_array_foreach (json_object_get(report_json, "checks"), i, check) {
		const json_t *fix = json_object_get(check, "fix");

		if (!fix)
			continue;
		assert_true(json_is_object(json_object_get(fix, "body")));
		offered++;
	}
	assert_int_equal(offered, 3);
}

static void what_weakens_isolation_is_a_warning(void **state)
{
	static const struct {
		const char *row;
		const char *path;
		const char *text;
		const char *said;
	} cases[] = {
		{ "kernel version", "/proc/sys/kernel/osrelease", "5.9.1\n", "5.9.1" },
		{ "kernel version", "/proc/sys/kernel/osrelease", "4.19.0\n", "4.19.0" },
		{ "simultaneous multithreading", "/sys/devices/system/cpu/smt/active", "1\n",
		  "share a core" },
		{ "memory merging (KSM)", "/sys/kernel/mm/ksm/run", "1\n", "memory" },
		{ "nested pages", "/sys/module/kvm_intel/parameters/ept", "N\n", "slow" },
		{ "swap", "/proc/swaps", "Filename Type\n/dev/sda2 partition\n", "/dev/sda2" },
		{ "processor vulnerabilities", "/sys/devices/system/cpu/vulnerabilities/mds",
		  "Vulnerable: no microcode\n", "open: mds" },
		{ "cgroups", "/proc/self/mountinfo",
		  "30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		  "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		  "no limits" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine.path = cases[i].path;
		machine.text = cases[i].text;
		assert_int_equal(status(cases[i].row), DOCTOR_WARN);
		assert_non_null(strstr(row(cases[i].row)->detail, cases[i].said));
		assert_string_not_equal(row(cases[i].row)->remedy, "");
		assert_int_equal(doctor_worst(&report), DOCTOR_WARN);
	}
}

static void who_gets_limits_by_cgroup_is_said(void **state)
{
	(void)state;
	assert_int_equal(status("cgroups"), DOCTOR_PASS);
	assert_non_null(strstr(row("cgroups")->detail, "each VM has limits"));
	ctx.no_limits = "cgroup /x is not delegated to the server";
	assert_int_equal(status("cgroups"), DOCTOR_WARN);
	assert_non_null(strstr(row("cgroups")->detail, "get no limits (cgroup /x is not"));
	assert_non_null(strstr(row("cgroups")->remedy, "DelegateSubgroup"));
}

static void what_a_host_does_not_have_is_left_out(void **state)
{
	static const char *const gone[][2] = {
		{ "kernel version", "/proc/sys/kernel/osrelease" },
		{ "simultaneous multithreading", "/sys/devices/system/cpu/smt/active" },
		{ "memory merging (KSM)", "/sys/kernel/mm/ksm/run" },
		{ "nested pages", "/sys/module/kvm_intel/parameters/ept" },
		{ "swap", "/proc/swaps" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		machine.path = gone[i][1];
		assert_int_equal(status(gone[i][0]), DOCTOR_SKIP);
	}
	machine.path = "/sys/module/kvm_amd/parameters/npt";
	machine.text = "1\n";
	assert_int_equal(status("nested pages"), DOCTOR_PASS);
}

static void store_is_absent_readable_or_broken(void **state)
{
	(void)state;
	assert_int_equal(status("store"), DOCTOR_PASS);
	machine.db = -EBADMSG;
	assert_int_equal(status("store"), DOCTOR_FAIL);
	assert_non_null(strstr(row("store")->detail, "file is not a database"));
	assert_int_equal(doctor_worst(&report), DOCTOR_FAIL);
	machine.db_absent = true;
	assert_int_equal(status("store"), DOCTOR_PASS);
	assert_non_null(strstr(row("store")->detail, "created on first start"));
}

static void missing_firecracker_fails_unless_auto_has_another(void **state)
{
	(void)state;
	firecracker = (struct vmm_probe){ .detail = "not found", .remedy = "apt-get install x" };
	chosen = NULL;
	assert_int_equal(status("firecracker"), DOCTOR_FAIL);
	assert_int_equal(status("vmm"), DOCTOR_FAIL);
	assert_string_equal(row("firecracker")->remedy, "apt-get install x");
	chosen = &driver_qemu;
	assert_int_equal(status("firecracker"), DOCTOR_WARN);
	assert_string_equal(row("firecracker")->remedy, "apt-get install x");
	ctx.vmm = "firecracker";
	assert_int_equal(status("firecracker"), DOCTOR_FAIL);
	/* Above the tested window: usable, with advice. */
	firecracker.usable = true;
	assert_int_equal(status("firecracker"), DOCTOR_WARN);
}

static void feature_rows_are_always_there(void **state)
{
	(void)state;
	machine = (struct machine){ .no_helper = true, .no_programs = true, .no_install = true };
	ctx.dns_enabled = false;
	assert_int_equal(status("work disk"), DOCTOR_FAIL);
	assert_int_equal(status("vm dns"), DOCTOR_SKIP);
	assert_int_equal(status("nat"), DOCTOR_SKIP);
	assert_int_equal(status("helper"), DOCTOR_SKIP);
	assert_int_equal(status("vm defaults"), DOCTOR_PASS);
}

static void defaults_say_where_each_came_from(void **state)
{
	static const struct doctor_default defaults[] = {
		{ "vcpus", "2", "host" },
		{ "memory", "2048 MiB", "config" },
	};

	(void)state;
	ctx.defaults = defaults;
	ctx.n_defaults = ARRAY_SIZE(defaults);
	ctx.config_path = "/etc/banger/config.toml";
	assert_int_equal(status("vm defaults"), DOCTOR_PASS);
	assert_string_equal(row("vm defaults")->detail,
			    "vcpus=2 (host), memory=2048 MiB (config); configuration: "
			    "/etc/banger/config.toml");
}

static void busy_dns_port_says_what_to_do(void **state)
{
	(void)state;
	ctx.dns_error = -EADDRINUSE;
	assert_int_equal(status("vm dns"), DOCTOR_WARN);
	assert_non_null(strstr(row("vm dns")->detail, "42069"));
	assert_non_null(strstr(row("vm dns")->remedy, "ss -lunp"));
}

static void nat_needs_nft_and_forwarding(void **state)
{
	(void)state;
	machine.forward = "0\n";
	assert_int_equal(status("nat"), DOCTOR_FAIL);
	assert_non_null(strstr(row("nat")->remedy, "sysctl"));
	machine.no_programs = true;
	assert_non_null(strstr(row("nat")->remedy, "nftables"));
}

static void nat_needs_a_kernel_that_takes_the_rules(void **state)
{
	(void)state;
	assert_int_equal(status("nat"), DOCTOR_PASS);
	machine.helper_lacks = HELPER_LACKS_LIMIT;
	assert_int_equal(status("nat"), DOCTOR_WARN);
	assert_non_null(strstr(row("nat")->remedy, "nft_connlimit"));
	machine.helper_lacks |= HELPER_LACKS_FILTER;
	assert_int_equal(status("nat"), DOCTOR_FAIL);
	assert_non_null(strstr(row("nat")->remedy, "modprobe -a nf_tables"));
	/* Nobody has tried them: no promise. */
	machine.helper_result = -ECONNREFUSED;
	assert_int_equal(status("nat"), DOCTOR_SKIP);
}

static void kvm_that_opens_is_not_kvm_that_works(void **state)
{
	(void)state;
	machine.no_virt = true;
	assert_int_equal(status("kvm"), DOCTOR_WARN);
	assert_non_null(strstr(row("kvm")->detail, "neither vmx nor svm"));
	machine.kvm = -EACCES;
	assert_non_null(strstr(row("kvm")->remedy, "usermod"));
	machine.kvm = -ENOENT;
	assert_non_null(strstr(row("kvm")->detail, "not there"));
}

static void disk_room_looks_at_the_nearest_parent(void **state)
{
	(void)state;
	assert_int_equal(status("disk room"), DOCTOR_PASS);
	machine.room = 4ULL << 30;
	assert_int_equal(status("disk room"), DOCTOR_WARN);
	machine.room = 1ULL << 20;
	assert_int_equal(status("disk room"), DOCTOR_FAIL);
}

static void without_install_record_there_is_one_warning(void **state)
{
	size_t n = 0;

	(void)state;
	machine.no_install = true;
	assert_int_equal(status("system install"), DOCTOR_WARN);
	assert_non_null(
		strstr(row("system install")->remedy, "Running outside the system install"));
	for (size_t i = 0; i < report.n_rows; i++)
		n += streq(report.rows[i].group, "security");
	assert_int_equal(n, 1);
}

/* Fails exactly one row, `name`, when `line` is replaced in a unit's properties. */
static void expect_one(const char **shown, const char *line, const char *with, const char *name)
{
	const char *before = *shown;
	const char *at = strstr(before, line);
	char text[1024];

	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - before), before, with,
		       at + strlen(line));
	*shown = text;
	doctor_check(&ctx, &report);
	for (size_t i = 0; i < report.n_rows; i++)
		assert_int_equal(report.rows[i].status,
				 streq(report.rows[i].name, name) ? DOCTOR_FAIL : DOCTOR_PASS);
	*shown = before;
}

static void each_hardening_line_has_a_row_of_its_own(void **state)
{
	static const struct {
		bool server;
		const char *line, *with, *row;
	} cases[] = {
		{ false, "ActiveState=active", "ActiveState=failed", "helper service active" },
		{ false, "NoNewPrivileges=yes", "NoNewPrivileges=no",
		  "helper unit NoNewPrivileges" },
		{ false, "ProtectSystem=strict", "ProtectSystem=full",
		  "helper unit ProtectSystem" },
		{ false, "ProtectHome=yes", "ProtectHome=read-only", "helper unit ProtectHome" },
		{ false, "RestrictSUIDSGID=yes", "RestrictSUIDSGID=no",
		  "helper unit RestrictSUIDSGID" },
		{ false, "LockPersonality=yes", "", "helper unit LockPersonality" },
		{ false, "cap_chown ", "cap_chown cap_sys_ptrace ",
		  "helper unit CapabilityBoundingSet" },
		{ false, "cap_kill ", "", "helper unit CapabilityBoundingSet" },
		{ true, "ActiveState=active", "ActiveState=inactive", "server service active" },
		{ true, "NoNewPrivileges=yes", "NoNewPrivileges=no",
		  "server unit NoNewPrivileges" },
		{ true, "ProtectSystem=strict", "ProtectSystem=yes", "server unit ProtectSystem" },
		{ true, "ProtectHome=read-only", "ProtectHome=no", "server unit ProtectHome" },
		{ true, "RestrictSUIDSGID=yes", "RestrictSUIDSGID=no",
		  "server unit RestrictSUIDSGID" },
		{ true, "LockPersonality=yes", "LockPersonality=no",
		  "server unit LockPersonality" },
		{ true, "User=ann", "User=root", "server unit User" },
		{ true, "User=ann", "User=", "server unit User" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_one(cases[i].server ? &machine.server_unit : &machine.helper_unit,
			   cases[i].line, cases[i].with, cases[i].row);
	machine.systemctl_fails = true;
	assert_int_equal(status("helper unit ProtectSystem"), DOCTOR_FAIL);
}

static void sockets_belong_to_the_owner_alone(void **state)
{
	(void)state;
	machine.socket_mode = S_IFSOCK | 0660;
	assert_int_equal(status("helper socket"), DOCTOR_FAIL);
	assert_int_equal(status("server socket"), DOCTOR_FAIL);
	assert_non_null(strstr(row("helper socket")->detail, "mode 0660, should be 0600"));
	machine.socket_mode = S_IFSOCK | 0600;
	machine.socket_uid = 1001;
	assert_int_equal(status("helper socket"), DOCTOR_FAIL);
	machine.socket_uid = 1000;
	machine.socket_mode = S_IFREG | 0600;
	assert_int_equal(status("server socket"), DOCTOR_FAIL);
}

static void firecracker_is_held_to_the_rules_of_launch(void **state)
{
	static const struct {
		mode_t mode;
		uid_t uid;
		const char *problem;
	} cases[] = {
		{ S_IFLNK | 0777, 0, "symbolic link" },
		{ S_IFDIR | 0755, 0, "not a regular file" },
		{ S_IFREG | 0755, 1000, "not owned by root" },
		{ S_IFREG | 0775, 0, "writable by group" },
		{ S_IFREG | 0757, 0, "writable by group" },
		{ S_IFREG | 0644, 0, "not executable" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine.binary_mode = cases[i].mode;
		machine.binary_uid = cases[i].uid;
		assert_int_equal(status("firecracker binary"), DOCTOR_FAIL);
		assert_non_null(strstr(row("firecracker binary")->detail, cases[i].problem));
	}
}

static void helper_that_does_not_answer_fails(void **state)
{
	(void)state;
	machine.helper_result = -ETIMEDOUT;
	assert_int_equal(status("helper"), DOCTOR_FAIL);
	machine.helper_result = -EACCES;
	assert_non_null(strstr(row("helper")->detail, "another user"));
}

static void the_report_as_json(void **state)
{
	json_t *json = NULL;

	(void)state;
	ctx.dns_error = -EADDRINUSE;
	assert_int_equal(doctor_run(&ctx, &json), 0);
	assert_string_equal(json_string_value(json_object_get(json, "status")), "warn");
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(json, "checks"), 0), "name")),
			    "store");
	json_decref(json);
}

/* The real host's check: a database is read, junk is refused, and nothing is made beside it. */
static void a_real_database_is_only_read(void **state)
{
	char dir[] = "/tmp/banger-doctor-XXXXXX";
	char path[64];
	char why[DOCTOR_DB_ERROR_MAX] = "";
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a?b%%.db", dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(doctor_host_system.check_db(NULL, path, why, sizeof(why)), 0);
	assert_int_equal(pwrite(fd, "this is no database at all, just text", 37, 0), 37);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(doctor_host_system.check_db(NULL, path, why, sizeof(why)), -EBADMSG);
	assert_string_equal(why, "file is not a database");
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	assert_true(doctor_host_system.check_db(NULL, path, why, sizeof(why)) < 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_host_in_order_passes_everywhere, setup),
		cmocka_unit_test_setup(what_the_server_can_mend_has_its_request, setup),
		cmocka_unit_test_setup(what_weakens_isolation_is_a_warning, setup),
		cmocka_unit_test_setup(who_gets_limits_by_cgroup_is_said, setup),
		cmocka_unit_test_setup(what_a_host_does_not_have_is_left_out, setup),
		cmocka_unit_test_setup(store_is_absent_readable_or_broken, setup),
		cmocka_unit_test_setup(missing_firecracker_fails_unless_auto_has_another, setup),
		cmocka_unit_test_setup(feature_rows_are_always_there, setup),
		cmocka_unit_test_setup(defaults_say_where_each_came_from, setup),
		cmocka_unit_test_setup(busy_dns_port_says_what_to_do, setup),
		cmocka_unit_test_setup(nat_needs_nft_and_forwarding, setup),
		cmocka_unit_test_setup(nat_needs_a_kernel_that_takes_the_rules, setup),
		cmocka_unit_test_setup(kvm_that_opens_is_not_kvm_that_works, setup),
		cmocka_unit_test_setup(disk_room_looks_at_the_nearest_parent, setup),
		cmocka_unit_test_setup(without_install_record_there_is_one_warning, setup),
		cmocka_unit_test_setup(each_hardening_line_has_a_row_of_its_own, setup),
		cmocka_unit_test_setup(sockets_belong_to_the_owner_alone, setup),
		cmocka_unit_test_setup(firecracker_is_held_to_the_rules_of_launch, setup),
		cmocka_unit_test_setup(helper_that_does_not_answer_fails, setup),
		cmocka_unit_test_setup(the_report_as_json, setup),
		cmocka_unit_test_setup(a_real_database_is_only_read, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
