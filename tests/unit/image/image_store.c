/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/store.h"

#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/image.h"
#include "server/image/manifest.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/test.h"

static struct scratch scratch;
static char *images;
static char *kernels;
static struct image_paths paths;

static int set_up(void **state)
{
	(void)state;
	scratch_open(&scratch);
	images = scratch_path(&scratch, "state/images");
	kernels = scratch_path(&scratch, "state/kernels");
	paths = (struct image_paths){ .images = images, .kernels = kernels };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_done(&scratch);
	free(images);
	free(kernels);
	return 0;
}

/* Publishes an image whose only file has that text. */
static void publish(const char *text, const char *cmd, const char *name, struct image_info *info)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct error err = ERROR_INIT;

	*info = (struct image_info){ 0 };
	(void)snprintf(info->name, sizeof(info->name), "%s", name);
	info->config = json_pack("{s:[s]}", "cmd", cmd);
	assert_int_equal(staging_open(images, &staging, &err), 0);
	assert_int_equal(write_new_file(staging.fd, "root.squashfs", text, strlen(text)), 0);
	assert_int_equal(image_publish(&staging, info, &err), 0);
}

static void published_is_found_and_removed(void **state)
{
	struct image_info there CLEANUP(image_info_done) = { 0 };
	struct image_info info CLEANUP(image_info_done) = { 0 };
	autofree char *path = NULL;
	struct error err = ERROR_INIT;
	struct stat st;

	(void)state;
	publish("hello", "/bin/sh", "one", &info);
	assert_true(entry_id_valid(info.id));
	assert_int_equal(info.size_bytes, 5);
	assert_int_equal(scratch_count(&scratch, "state/images"), 1);
	assert_int_equal(image_load(&paths, info.id, &there, &err), 0);
	assert_string_equal(there.name, "one");
	assert_int_equal(there.size_bytes, 5);
	assert_true(json_equal(there.config, info.config));
	path = image_rootfs_path(&paths, info.id);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(image_remove(&paths, info.id, &err), 0);
	assert_int_equal(image_remove(&paths, info.id, &err), 0);
	assert_int_equal(scratch_count(&scratch, "state/images"), 0);
	image_info_done(&there);
	assert_true(image_load(&paths, info.id, &there, &err) < 0);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void the_id_covers_files_and_configuration(void **state)
{
	struct image_info a CLEANUP(image_info_done) = { 0 };
	struct image_info b CLEANUP(image_info_done) = { 0 };
	struct image_info c CLEANUP(image_info_done) = { 0 };
	struct image_info d CLEANUP(image_info_done) = { 0 };

	(void)state;
	publish("hello", "/bin/sh", "one", &a);
	publish("hello", "/bin/sh", "one", &b);
	publish("hello", "/bin/ash", "one", &c);
	publish("hellO", "/bin/sh", "one", &d);
	assert_string_equal(a.id, b.id);
	assert_string_not_equal(a.id, c.id);
	assert_string_not_equal(a.id, d.id);
	assert_int_equal(scratch_count(&scratch, "state/images"), 3);
}

static void another_manifest_replaces(void **state)
{
	struct image_info a CLEANUP(image_info_done) = { 0 };
	struct image_info b CLEANUP(image_info_done) = { 0 };
	struct image_info there CLEANUP(image_info_done) = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	publish("hello", "/bin/sh", "one", &a);
	publish("hello", "/bin/sh", "two", &b);
	assert_string_equal(a.id, b.id);
	assert_int_equal(scratch_count(&scratch, "state/images"), 1);
	assert_int_equal(image_load(&paths, a.id, &there, &err), 0);
	assert_string_equal(there.name, "two");
}

static void not_published_leaves_nothing(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	{
		struct staging staging CLEANUP(staging_done) = STAGING_INIT;

		assert_int_equal(staging_open(images, &staging, &err), 0);
		assert_int_equal(write_new_file(staging.fd, "root.squashfs", "x", 1), 0);
		assert_int_equal(mkdirat(staging.fd, "sub", 0700), 0);
		assert_int_equal(scratch_count(&scratch, "state/images"), 1);
	}
	assert_int_equal(scratch_count(&scratch, "state/images"), 0);
}

static void start_sweeps_what_a_crash_left(void **state)
{
	struct image_info info CLEANUP(image_info_done) = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(image_store_init(&paths, &err), 0);
	publish("hello", "/bin/sh", "one", &info);
	assert_int_equal(mkdirat(scratch.fd, "state/images/.new-0000000000000000", 0700), 0);
	assert_int_equal(mkdirat(scratch.fd, "state/kernels/.old-0000000000000000", 0700), 0);
	assert_int_equal(write_new_file(scratch.fd, "state/images/.new-0000000000000000/f", "x", 1),
			 0);
	assert_int_equal(image_store_init(&paths, &err), 0);
	assert_int_equal(scratch_count(&scratch, "state/images"), 1);
	assert_int_equal(scratch_count(&scratch, "state/kernels"), 0);
}

static void damage_is_found(void **state)
{
	struct image_info info CLEANUP(image_info_done) = { 0 };
	autofree char *path = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	publish("hello", "/bin/sh", "one", &info);
	assert_int_equal(image_verify(&paths, info.id, &err), 0);
	path = image_rootfs_path(&paths, info.id);
	assert_int_equal(truncate(path, 4), 0);
	assert_true(image_verify(&paths, info.id, &err) < 0);
	assert_non_null(strstr(err.msg, "damaged"));
}

static void ids_that_are_none(void **state)
{
	static const char *const ids[] = {
		"",
		"sha256-",
		"../../etc",
		"sha256-5D3174688cd4885b0381cfba54f6a980fad7a6c8ed2fd20e8404fb3203051ea1",
		"sha256-5d3174688cd4885b0381cfba54f6a980fad7a6c8ed2fd20e8404fb3203051ea",
		"sha256-5d3174688cd4885b0381cfba54f6a980fad7a6c8ed2fd20e8404fb3203051ea11",
		"sha256:5d3174688cd4885b0381cfba54f6a980fad7a6c8ed2fd20e8404fb3203051ea1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct error err = ERROR_INIT;
		struct image_info info;

		assert_false(entry_id_valid(ids[i]));
		assert_true(image_remove(&paths, ids[i], &err) < 0);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(image_load(&paths, ids[i], &info, &err) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(published_is_found_and_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_id_covers_files_and_configuration, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(another_manifest_replaces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_published_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(start_sweeps_what_a_crash_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damage_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ids_that_are_none, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
