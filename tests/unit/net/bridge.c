/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the helper and what stands on it, against the helper's own server on a socket: only
 * the host below it is made up, and writes down what it was asked for.
 */
#include "server/net/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "tests/unit/test.h"

#define ID "0123456789abcdef"

enum { ADDRESS = 0x0ad10005 };

/* The made-up host. The test reads it while no call is under way. */
static struct {
	bool bridge;
	bool tap;
	char did[2048];
	bool rules;
	int run_result;
	int limit_result;
} host;

static void did(const char *what, const char *detail)
{
	size_t n = strlen(host.did);

	(void)snprintf(host.did + n, sizeof(host.did) - n, "%s%s;", what, detail);
}

static int host_run(const char *const *argv, const char *input)
{
	if (input == nft_limit) {
		did("limit", "");
		return host.limit_result;
	}
	if (input)
		assert_ptr_equal(input, nft_rules);
	did(input ? "rules" : "run ", input ? "" : argv[1]);
	if (input)
		host.rules = host.run_result == 0;
	return host.run_result;
}

/* A guest's come with its hardware address first. */
static int host_elements(const struct nft_element *e, size_t n)
{
	static const uint8_t mac[6] = { 2, 'b', 10, 209, 0, 5 };
	bool guest = n == NFT_GUEST_ELEMENTS;

	if (!host.rules)
		return -ENOENT;
	assert_string_equal(e[n - 2].set, "nat4");
	if (guest && streq((const char *)e->key, TAP_PREFIX))
		return 0;
	if (guest) {
		assert_string_equal(e->set, "guests");
		assert_string_equal((const char *)e->key, "bgr456789abcdef");
		assert_memory_equal(e->key + TAP_NAME_SIZE, mac, sizeof(mac));
	}
	did(guest ? "guest" : "nat", e->on ? "+" : "-");
	if (guest && e[n - 1].on)
		did("nat+", "");
	return 0;
}

static int host_bridge(const struct config *config)
{
	(void)config;
	host.bridge = true;
	return 0;
}

static unsigned int host_link_exists(const char *name)
{
	return streq(name, HELPER_BRIDGE) ? host.bridge : host.tap;
}

static int host_tap(const char *name, unsigned int flags, uid_t owner)
{
	(void)flags;
	(void)owner;
	did("tap+ ", name);
	host.tap = true;
	return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int host_link_delete(const char *name)
{
	(void)name;
	if (host.tap)
		did("tap-", "");
	host.tap = false;
	return 0;
}

static int host_pidfd_open(pid_t pid, unsigned int flags)
{
	(void)pid;
	(void)flags;
	return open("/dev/zero", O_RDONLY | O_CLOEXEC);
}

static int host_pidfd_signal(int pidfd, int sig, siginfo_t *info, unsigned int flags)
{
	(void)pidfd;
	(void)sig;
	(void)info;
	(void)flags;
	return 0;
}

static const struct sys sys = {
	.pidfd_open = host_pidfd_open,
	.pidfd_send_signal = host_pidfd_signal,
	.run = host_run,
	.bridge = host_bridge,
	.if_nametoindex = host_link_exists,
	.elements = host_elements,
	.tap = host_tap,
	.link_delete = host_link_delete,
};

/* --- a helper in a thread --- */

static struct {
	char dir[64];
	char socket[96];
	struct config config;
	struct helper helper; /* of helper/helper.h */
	pthread_t thread;
	int listen_fd;
	int stop[2];
	struct helper_client client;
} t;

static void *serve(void *data)
{
	(void)data;
	assert_int_equal(server_run(&t.helper, t.listen_fd, t.stop[0]), 0);
	return NULL;
}

/* A folder that stands for /proc, of a host that forwards. */
static void make_proc(void)
{
	autoclose int dir = -1;
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/sys/net/ipv4", t.dir);
	dir = open_dir_create(path, 0700);
	assert_true(dir >= 0);
	assert_int_equal(write_file_at(dir, "ip_forward", "1\n", 2, 0600), 0);
}

static int start(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/banger-bridge-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	(void)snprintf(t.socket, sizeof(t.socket), "%s/sock", t.dir);
	make_proc();
	t.config = (struct config){ .owner_uid = getuid(),
				    .owner_gid = getgid(),
				    .subnet = 0x0ad10000,
				    .prefix = 16,
				    .ula = { 0xfd, 'b' },
				    .runtime_dir = "/run/banger",
				    .jail_dir = t.dir,
				    .firecracker = "/usr/bin/firecracker",
				    .jailer = "/usr/bin/jailer",
				    .socket = t.socket };
	t.helper = (struct helper){ .config = &t.config,
				    .sys = &sys,
				    .self = getpid(),
				    .root_fd = open("/", O_PATH | O_CLOEXEC),
				    .proc_fd = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				    .cgroup_fd = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				    .jail_fd = -1 };
	t.listen_fd = server_listen(&t.config);
	assert_true(t.listen_fd >= 0);
	assert_int_equal(pipe2(t.stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&t.thread, NULL, serve, NULL), 0);
	t.client = (struct helper_client){ .socket = t.socket };
	return 0;
}

static int stop(void **state)
{
	/* In place of a signalfd. */
	struct signalfd_siginfo end = { .ssi_signo = SIGTERM };

	(void)state;
	assert_int_equal(write(t.stop[1], &end, sizeof(end)), sizeof(end));
	assert_int_equal(pthread_join(t.thread, NULL), 0);
	(void)close(t.stop[0]);
	(void)close(t.stop[1]);
	(void)close(t.listen_fd);
	(void)close(t.helper.root_fd);
	(void)close(t.helper.proc_fd);
	(void)close(t.helper.cgroup_fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, t.dir), 0);
	return 0;
}

/* Forgets what was done so far; the bridge is there. */
static void ready(void)
{
	struct address_plan plan;
	struct error err = ERROR_INIT;

	assert_int_equal(bridge_plan(&t.client, &plan, &err), 0);
	host.did[0] = '\0';
}

static void the_plan_is_the_helpers(void **state)
{
	struct address_plan plan;
	struct error err = ERROR_INIT;
	unsigned int lacks;
	char version[32];

	(void)state;
	assert_int_equal(bridge_plan(&t.client, &plan, &err), 0);
	assert_int_equal(plan.subnet, 0x0ad10000);
	assert_int_equal(plan.prefix, 16);
	assert_int_equal(plan.ula[1], 'b');
	assert_string_equal(host.did, "rules;limit;");
	/* Again: only when somebody has flushed them in between. */
	assert_int_equal(bridge_plan(&t.client, &plan, &err), 0);
	assert_string_equal(host.did, "rules;limit;");
	host.rules = false;
	assert_int_equal(bridge_plan(&t.client, &plan, &err), 0);
	assert_string_equal(host.did, "rules;limit;rules;limit;");
	assert_int_equal(helper_status(t.socket, 5000, version, sizeof(version), &lacks), 0);
	assert_true(strlen(version) > 0 && helper_present(&t.client) && lacks == 0);
}

/* Without a limit of connections there is a network still; without the rules there is none. */
static void what_the_kernel_lacks_is_told(void **state)
{
	struct address_plan plan;
	struct error err = ERROR_INIT;
	unsigned int lacks;
	char version[32];

	(void)state;
	host.limit_result = -EIO;
	assert_int_equal(bridge_plan(&t.client, &plan, &err), 0);
	assert_int_equal(helper_status(t.socket, 5000, version, sizeof(version), &lacks), 0);
	assert_int_equal(lacks, HELPER_LACKS_LIMIT);
	host.rules = false;
	host.run_result = -EIO;
	assert_int_equal(bridge_plan(&t.client, &plan, &err), -EIO);
	assert_int_equal(helper_status(t.socket, 5000, version, sizeof(version), &lacks), 0);
	assert_int_equal(lacks, HELPER_LACKS_FILTER);
	host.run_result = 0;
	host.limit_result = 0;
	rules_try(&t.helper);
	assert_int_equal(helper_status(t.socket, 5000, version, sizeof(version), &lacks), 0);
	assert_int_equal(lacks, 0);
}

static void attach_and_detach(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = ADDRESS, .nat = true };
	struct bridge_port port = BRIDGE_PORT_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	assert_int_equal(bridge_attach(&t.client, &vm, false, false, &port, &err), 0);
	assert_string_equal(host.did, "guest+;nat+;tap+ bgr456789abcdef;");
	assert_string_equal(port.tap_name, "bgr456789abcdef");
	assert_true(port.tap_fd >= 0 && fcntl(port.tap_fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(close(port.tap_fd), 0);
	/* A tap that an earlier life left behind goes first. */
	host.did[0] = '\0';
	vm.nat = false;
	assert_int_equal(bridge_attach(&t.client, &vm, false, false, &port, &err), 0);
	assert_string_equal(host.did, "tap-;guest-;guest+;tap+ bgr456789abcdef;");
	assert_int_equal(close(port.tap_fd), 0);
	host.did[0] = '\0';
	assert_int_equal(bridge_detach(&t.client, &vm, &err), 0);
	assert_string_equal(host.did, "tap-;guest-;");
	assert_int_equal(bridge_detach(&t.client, &vm, &err), 0);
}

static void nat_unchanged_calls_nobody(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = ADDRESS, .nat = true, .alive = true };
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	assert_int_equal(bridge_set_nat(&t.client, &vm, true, &err), 0);
	vm.nat = false;
	assert_int_equal(bridge_set_nat(&t.client, &vm, false, &err), 0);
	assert_string_equal(host.did, "");
}

static void nat_of_a_vm_that_is_not_alive_calls_nobody(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = ADDRESS };
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	assert_int_equal(bridge_set_nat(&t.client, &vm, true, &err), 0);
	assert_string_equal(host.did, "");
}

static void nat_toggled_on_a_live_vm_calls_the_helper(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = ADDRESS, .alive = true };
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	assert_int_equal(bridge_set_nat(&t.client, &vm, true, &err), 0);
	vm.nat = true;
	assert_int_equal(bridge_set_nat(&t.client, &vm, false, &err), 0);
	assert_string_equal(host.did, "nat+;nat-;");
	vm.address = 0;
	assert_int_equal(bridge_set_nat(&t.client, &vm, false, &err), 0);
	assert_string_equal(host.did, "nat+;nat-;");
}

static void clean_up_without_network_handles_calls_nobody(void **state)
{
	struct bridge_vm vm = { .id = ID, .nat = true, .alive = true };
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	assert_int_equal(bridge_detach(&t.client, &vm, &err), 0);
	assert_string_equal(host.did, "");
}

/* Off or on: nothing of the VM is left among the rules, by one call. */
static void clean_up_takes_nat_away(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = ADDRESS, .nat = true };
	struct error err = ERROR_INIT;

	(void)state;
	ready();
	host.tap = true;
	assert_int_equal(bridge_detach(&t.client, &vm, &err), 0);
	assert_string_equal(host.did, "tap-;guest-;");
	vm.nat = false;
	host.did[0] = '\0';
	assert_int_equal(bridge_detach(&t.client, &vm, &err), 0);
	assert_string_equal(host.did, "guest-;");
}

static void refusals_say_what_to_do(void **state)
{
	struct bridge_vm vm = { .id = ID, .address = 0x0ad20005, .nat = true, .alive = true };
	struct bridge_port port = BRIDGE_PORT_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(helper_nat_ensure(&t.client, ID, ADDRESS, &err), -ENETDOWN);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(bridge_attach(&t.client, &vm, false, false, &port, &err), -EINVAL);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, "bridge network of VM " ID ": tap.create: not a guest"));
	assert_int_equal(port.tap_fd, -1);
	ready();
	host.run_result = -EIO;
	assert_int_equal(helper_dns_route(&t.client, 42069, &err), -EIO);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.msg, "dns.route: the host refused; the helper's log"));
	host.run_result = 0;
	assert_int_equal(helper_dns_route(&t.client, 53, &err), -EINVAL);
	host.did[0] = '\0';
	assert_int_equal(helper_dns_route(&t.client, 42069, &err), 0);
	assert_int_equal(helper_dns_clear(&t.client, &err), 0);
	assert_string_equal(host.did, "run domain;run dns;run revert;");
	assert_int_equal(helper_process_signal(&t.client, 1, "TERM", &err), -EINVAL);
	assert_int_equal(err.code, ERR_FORBIDDEN);
	assert_int_equal(helper_process_signal(&t.client, 4000000, "STOP", &err), -EINVAL);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(helper_process_kill(&t.client, 4000000, &err), -EPERM);
	assert_int_equal(err.code, ERR_FORBIDDEN);
}

static void limits_of_a_vm(void **state)
{
	static const struct helper_limits limits = { .memory_bytes = 512 << 20,
						     .cpu_percent = 150 };
	static const char *const want[][2] = { { "memory.max", "536870912" },
					       { "cpu.max", "150000 100000" },
					       { "pids.max", "max" } };
	struct helper_limits bad = { .memory_bytes = 1 };
	struct error err = ERROR_INIT;
	char path[160];

	(void)state;
	/* The files that the kernel would make. */
	(void)snprintf(path, sizeof(path), "%s/vm-" ID, t.dir);
	assert_int_equal(mkdir(path, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		(void)snprintf(path, sizeof(path), "%s/vm-" ID "/%s", t.dir, want[i][0]);
		(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	assert_int_equal(helper_cgroup_create(&t.client, ID, &limits, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		autofree char *text = NULL;

		(void)snprintf(path, sizeof(path), "%s/vm-" ID "/%s", t.dir, want[i][0]);
		assert_int_equal(read_file(path, 100, &text, NULL), 0);
		assert_string_equal(text, want[i][1]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(helper_cgroup_create(&t.client, ID, &bad, &err), -EINVAL);
	assert_int_equal(helper_cgroup_remove(&t.client, ID, &err), 0);
	assert_int_equal(helper_cgroup_remove(&t.client, ID, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/vm-" ID, t.dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void no_helper_no_answer(void **state)
{
	struct helper_client nobody = { .socket = "/tmp/no/such/helper.sock" };
	struct helper_client silent = { .timeout_ms = 50 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct error err = ERROR_INIT;
	struct address_plan plan;
	char path[96];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	assert_false(helper_present(&nobody));
	assert_true(bridge_plan(&nobody, &plan, &err) < 0);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.msg, "deploy/install"));
	/* One that listens and says nothing. */
	(void)snprintf(path, sizeof(path), "%s/silent", t.dir);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	silent.socket = path;
	assert_int_equal(bridge_plan(&silent, &plan, &err), -ETIMEDOUT);
	assert_int_equal(err.code, ERR_TIMEOUT);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_plan_is_the_helpers, start, stop),
		cmocka_unit_test_setup_teardown(what_the_kernel_lacks_is_told, start, stop),
		cmocka_unit_test_setup_teardown(attach_and_detach, start, stop),
		cmocka_unit_test_setup_teardown(nat_unchanged_calls_nobody, start, stop),
		cmocka_unit_test_setup_teardown(nat_of_a_vm_that_is_not_alive_calls_nobody, start,
						stop),
		cmocka_unit_test_setup_teardown(nat_toggled_on_a_live_vm_calls_the_helper, start,
						stop),
		cmocka_unit_test_setup_teardown(clean_up_without_network_handles_calls_nobody,
						start, stop),
		cmocka_unit_test_setup_teardown(clean_up_takes_nat_away, start, stop),
		cmocka_unit_test_setup_teardown(refusals_say_what_to_do, start, stop),
		cmocka_unit_test_setup_teardown(limits_of_a_vm, start, stop),
		cmocka_unit_test_setup_teardown(no_helper_no_answer, start, stop),
	};

	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
