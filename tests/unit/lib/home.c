/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/home/home.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

static void a_folder_of_ones_own(void **state)
{
	char dir[] = "/tmp/banger-home-XXXXXX";
	struct home home CLEANUP(home_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *run = NULL;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	run = path_join(dir, "run");
	assert_int_equal(home_resolve(dir, &home, &err), 0);
	assert_string_equal(home.runtime, run);
	assert_int_equal(home_create(&home, &err), 0);
	assert_int_equal(stat(run, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
}

static void the_folders_of_a_system_install(void **state)
{
	struct home home CLEANUP(home_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *socket = NULL;

	(void)state;
	assert_int_equal(home_resolve("system", &home, &err), 0);
	assert_string_equal(home.config, "/etc/banger");
	assert_string_equal(home.state, "/var/lib/banger/state");
	assert_string_equal(home.cache, "/var/cache/banger");
	socket = home_socket(&home);
	assert_string_equal(socket, "/run/banger/server.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_of_ones_own),
		cmocka_unit_test(the_folders_of_a_system_install),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
