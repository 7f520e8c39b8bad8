/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/user.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char root[] = "/tmp/agent-user-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/etc/%s", root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	char path[PATH_MAX];

	(void)state;
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/etc", root);
	if (mkdir(path, 0755) < 0)
		return -1;
	put("passwd", "root:x:0:0:root:/root:/bin/bash\n"
		      "broken line\n"
		      "bad:x:notanumber:1:::\n"
		      "ann:x:1000:1000:Ann,,,:/home/ann:/bin/zsh\n"
		      "big:x:4294967295:1:::\n");
	put("group",
	    "root:x:0:\ndisk:x:6:ann,bob\nusers:x:100:bob\nkvm:x:36:bob,ann\nann:x:1000:\n");
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "etc/passwd", "etc/group", "etc", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[PATH_MAX];

		(void)snprintf(path, sizeof(path), "%s/%s", root, names[i]);
		(void)remove(path);
	}
	return 0;
}

static void users_are_found_as_the_guest_has_them(void **state)
{
	static const struct {
		const char *spec;
		uid_t uid;
		gid_t gid;
		const char *name;
		const char *home;
		size_t n_groups;
	} cases[] = {
		{ NULL, 0, 0, "root", "/root", 0 },
		{ "", 0, 0, "root", "/root", 0 },
		{ "ann", 1000, 1000, "ann", "/home/ann", 2 },
		{ "1000", 1000, 1000, "ann", "/home/ann", 2 },
		{ "ann:users", 1000, 100, "ann", "/home/ann", 0 },
		{ "1000:42", 1000, 42, "ann", "/home/ann", 0 },
		{ "777", 777, 0, "777", "/", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct user user;

		assert_int_equal(user_find(root, cases[i].spec, &user, &err), 0);
		assert_int_equal(user.uid, cases[i].uid);
		assert_int_equal(user.gid, cases[i].gid);
		assert_string_equal(user.name, cases[i].name);
		assert_string_equal(user.home, cases[i].home);
		assert_int_equal(user.n_groups, cases[i].n_groups);
	}
}

static void who_is_not_there_is_refused(void **state)
{
	static const char *const specs[] = {
		"bob", "bad", "big", "ann:nobody", "4294967295", "-1"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct error err = ERROR_INIT;
		struct user user;

		assert_true(user_find(root, specs[i], &user, &err) < 0);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void a_user_who_changes_is_looked_up_again(void **state)
{
	struct error err = ERROR_INIT;
	struct user user;

	(void)state;
	put("passwd", "eve:x:1001:1001::/home/eve:/bin/sh\n");
	assert_int_equal(user_find(root, "eve", &user, &err), 0);
	assert_int_equal(user_find(root, "eve", &user, &err), 0);
	assert_string_equal(user.home, "/home/eve");
	put("passwd", "eve:x:1001:1001::/srv/eve:/bin/sh\nnew:x:1002:1002::/:/bin/sh\n");
	assert_int_equal(user_find(root, "eve", &user, &err), 0);
	assert_string_equal(user.home, "/srv/eve");
	put("group", "eve:x:1001:\nwheel:x:10:eve\n");
	assert_int_equal(user_find(root, "eve", &user, &err), 0);
	assert_int_equal(user.n_groups, 1);
	put("passwd", "root:x:0:0:root:/root:/bin/bash\n");
	assert_true(user_find(root, "eve", &user, &err) < 0);
}

static void an_image_without_the_files_still_has_root(void **state)
{
	struct error err = ERROR_INIT;
	struct user user;

	(void)state;
	assert_int_equal(user_find("/no/such/folder", NULL, &user, &err), 0);
	assert_int_equal(user.uid, 0);
	assert_string_equal(user.home, "/root");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_found_as_the_guest_has_them),
		cmocka_unit_test(who_is_not_there_is_refused),
		cmocka_unit_test(a_user_who_changes_is_looked_up_again),
		cmocka_unit_test(an_image_without_the_files_still_has_root),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
