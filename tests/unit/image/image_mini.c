/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/mini.h"

#include <archive.h>
#include <fcntl.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/test.h"

/* Stands in for busybox where only its list of applets is asked for. */
#define SCRIPT                                 \
	"#!/bin/sh\n"                          \
	"[ \"$1\" = --list-full ] || exit 1\n" \
	"printf 'bin/sh\\nbin/busybox\\nsbin/init\\nlinuxrc\\nusr/bin/wget\\n../evil\\n/abs\\n'\n"

static struct scratch scratch;
static char *images;
static struct image_paths paths;

static int set_up(void **state)
{
	(void)state;
	scratch_open(&scratch);
	images = scratch_path(&scratch, "images");
	paths = (struct image_paths){ .images = images, .libexec = LIBEXEC_DIR };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_done(&scratch);
	free(images);
	return 0;
}

struct build {
	const char *script;
	struct image_info info;
};

static int build_body(struct op *op, void *data, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct build *b = data;
	const struct fixture_file files[] = {
		{ "./bin/", NULL, 0, 0 },
		{ "./bin/busybox", b->script, strlen(b->script), 0755 },
		{ NULL, NULL, 0, 0 },
	};
	autoclose int deb = fixture_deb(files, ARCHIVE_FILTER_GZIP);
	int r = staging_open(images, &staging, err);

	(void)snprintf(b->info.name, sizeof(b->info.name), "mini");
	return r < 0 ? r : mini_from_package(&paths, &staging, deb, op, &b->info, err);
}

static char *list_files(const char *squashfs)
{
	autofree char *program = proc_find_program("unsquashfs");
	const char *argv[] = { program, "-lln", "-d", "", squashfs, NULL };
	struct proc_result result = { 0 };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;

	assert_non_null(program);
	spec.argv = argv;
	assert_int_equal(proc_run(&spec, &run, &result, &err), 0);
	return result.out;
}

static void has_links_and_files(void **state)
{
	struct build b = { .script = SCRIPT };
	autofree char *path = NULL;
	autofree char *list = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run_body(build_body, &b, &err), 0);
	assert_int_equal(image_verify(&paths, b.info.id, &err), 0);
	path = image_rootfs_path(&paths, b.info.id);
	list = list_files(path);
	assert_non_null(strstr(list, "/bin/sh -> /bin/busybox\n"));
	assert_non_null(strstr(list, "/usr/bin/wget -> /bin/busybox\n"));
	assert_non_null(strstr(list, "-rwxr-xr-x 0/0"));
	assert_non_null(strstr(list, "drwxrwxrwt 0/0"));
	assert_non_null(strstr(list, "1970-01-01 00:00 /etc/passwd\n"));
	assert_null(strstr(list, "init"));
	assert_null(strstr(list, "linuxrc"));
	assert_null(strstr(list, "evil"));
	assert_null(strstr(list, "abs"));
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(b.info.config, "cmd"), 0)),
		"/bin/sh");
	image_info_done(&b.info);
}

static void comes_out_the_same_each_time(void **state)
{
	struct build a = { .script = SCRIPT };
	struct build b = { .script = SCRIPT };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run_body(build_body, &a, &err), 0);
	assert_int_equal(image_remove(&paths, a.info.id, &err), 0);
	sleep(1); /* file times are kept in seconds */
	assert_int_equal(run_body(build_body, &b, &err), 0);
	assert_string_equal(a.info.id, b.info.id);
	image_info_done(&a.info);
	image_info_done(&b.info);
}

static void failures_leave_nothing(void **state)
{
	struct build silent = { .script = "#!/bin/sh\nexit 0\n" };
	struct build good = { .script = SCRIPT };
	struct error err = ERROR_INIT;

	(void)state;
	assert_true(run_body(build_body, &silent, &err) < 0);
	assert_non_null(strstr(err.msg, "no applets"));
	assert_int_equal(scratch_count(&scratch, "images"), 0);
	assert_true(run_body_cancelled(build_body, &good, &err) < 0);
	assert_int_equal(err.code, ERR_CANCELLED);
	assert_int_equal(scratch_count(&scratch, "images"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(has_links_and_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(comes_out_the_same_each_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failures_leave_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
