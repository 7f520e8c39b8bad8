/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a VMM, in a folder with the files of a cgroup; what the kernel makes of them is its own
 * business. */
#include "server/vmm/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

#define ID "0123456789abcdef"

static char root[64];

static void put(const char *file, const char *text)
{
	autofree char *path = path_join(root, file);
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static void assert_holds(const char *file, const char *want)
{
	autofree char *path = path_join(root, file);
	autofree char *text = NULL;

	assert_int_equal(read_file(path, 1000, &text, NULL), 0);
	assert_string_equal(text, want);
}

static void make(const char *folder)
{
	autofree char *path = path_join(root, folder);

	assert_int_equal(mkdir(path, 0700), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/banger-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	make("unit.service");
	make("unit.service/server");
	put("unit.service/cgroup.procs", "");
	put("unit.service/cgroup.subtree_control", "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return remove_tree_at(AT_FDCWD, root);
}

static bool delegate(void)
{
	autofree char *path = path_join(root, "unit.service");

	return setxattr(path, "user.delegate", "1", 1, 0) == 0;
}

static void only_what_was_delegated_is_used(void **state)
{
	static const char *const others[] = { "", "0::/\n", "0::/unit.service\n",
					      "1:cpu:/unit.service/server\n", "0::/no/such\n" };
	struct error err = ERROR_INIT;
	char *dir = NULL;

	(void)state;
	assert_true(cgroup_find(root, "0::/unit.service/server\n", &dir, &err) < 0);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	if (!delegate())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_true(cgroup_find(root, others[i], &dir, &err) < 0);
	put("unit.service/cgroup.procs", "77\n");
	assert_true(cgroup_find(root, "0::/unit.service/server\n", &dir, &err) < 0);
	assert_holds("unit.service/cgroup.subtree_control", "");
	put("unit.service/cgroup.procs", "");
	assert_int_equal(cgroup_find(root, "9:x:/y\n0::/unit.service/server\n", &dir, &err), 0);
	assert_string_equal(strrchr(dir, '/'), "/unit.service");
	assert_holds("unit.service/cgroup.subtree_control", "+cpu +memory +pids");
	free(dir);
}

static void limits_are_those_of_the_vm_and_a_little_more(void **state)
{
	const struct cgroup_limits limits = cgroup_limits_of(2, 512, false);
	const struct proc proc = { .pid = 4711, .pidfd = -1 };
	autofree char *dir = path_join(root, "unit.service");
	autofree char *procs = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	/* A kernel without the controllers. */
	assert_true(cgroup_create(dir, ID, &limits, &procs, &err) < 0);
	make("unit.service/vm-" ID);
	put("unit.service/vm-" ID "/memory.max", "");
	put("unit.service/vm-" ID "/cpu.max", "");
	put("unit.service/vm-" ID "/pids.max", "");
	put("unit.service/vm-" ID "/cgroup.procs", "");
	assert_int_equal(cgroup_create(dir, ID, &limits, &procs, &err), 0);
	assert_holds("unit.service/vm-" ID "/memory.max", "671088640");
	assert_holds("unit.service/vm-" ID "/cpu.max", "300000 100000");
	assert_holds("unit.service/vm-" ID "/pids.max", "130");
	assert_int_equal(cgroup_join(procs, &proc, &err), 0);
	assert_holds("unit.service/vm-" ID "/cgroup.procs", "4711");
	assert_int_equal(cgroup_join(NULL, &proc, &err), 0);
	assert_true(cgroup_join("/no/such/file", &proc, &err) < 0);
	assert_false(cgroup_holds(getpid(), ID));
	assert_int_equal(cgroup_limits_of(2, 512, true).memory_bytes >> 20, 512 + 128 + 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_was_delegated_is_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits_are_those_of_the_vm_and_a_little_more,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
