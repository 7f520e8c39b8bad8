/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/image.h"
#include "server/image/manifest.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/test.h"

#define MARK "~Module signature appended~\n"
#define SIGNED             \
	"CCCC"             \
	"signature"        \
	"\0\0\0\0\0\0\0\0" \
	"\0\0\0\011" MARK
#define LYING              \
	"D"                \
	"\0\0\0\0\0\0\0\0" \
	"\0\0\0\377" MARK

static struct scratch scratch;
static char *kernels;
static char *cache;
static char *agent;
static struct image_paths paths;
static struct kernel_info kernel;

static void publish(const char *list)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	autoclose int modules = -1;
	struct error err = ERROR_INIT;

	kernel = (struct kernel_info){ .name = "test" };
	/* Another list makes another manifest, as with a real kernel. */
	(void)snprintf(kernel.source, sizeof(kernel.source), "%s", list ? list : "");
	assert_int_equal(staging_open(kernels, &staging, &err), 0);
	assert_int_equal(write_new_file(staging.fd, "vmlinux", "kernel", 6), 0);
	if (list) {
		modules = open_subdir(staging.fd, "modules", 0700);
		assert_int_equal(write_new_file(modules, "list", list, strlen(list)), 0);
		assert_int_equal(write_new_file(modules, "a.ko", "AAA", 3), 0);
		assert_int_equal(write_new_file(modules, "b.ko", "BB", 2), 0);
		assert_int_equal(write_new_file(modules, "signed.ko", SIGNED, sizeof(SIGNED) - 1),
				 0);
		assert_int_equal(write_new_file(modules, "lying.ko", LYING, sizeof(LYING) - 1), 0);
	}
	assert_int_equal(kernel_publish(&staging, &kernel, NULL, &err), 0);
}

static int set_up(void **state)
{
	(void)state;
	scratch_open(&scratch);
	kernels = scratch_path(&scratch, "kernels");
	cache = scratch_path(&scratch, "cache");
	agent = scratch_path(&scratch, "agent");
	paths = (struct image_paths){ .kernels = kernels, .cache = cache, .agent = agent };
	assert_int_equal(write_new_file(scratch.fd, "agent", "the agent", 9), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_done(&scratch);
	free(kernels);
	free(cache);
	free(agent);
	return 0;
}

/* "name mode size" of each member, a line each. */
static void list_archive(const char *path, char *buf, size_t size)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *entry;
	size_t n = 0;

	assert_int_equal(archive_read_support_format_cpio(ar), ARCHIVE_OK);
	assert_int_equal(archive_read_open_filename(ar, path, 10240), ARCHIVE_OK);
	while (archive_read_next_header(ar, &entry) == ARCHIVE_OK) {
		n += (size_t)snprintf(
			buf + n, size - n, "%s %o %d %d:%d\n", archive_entry_pathname(entry),
			archive_entry_mode(entry), (int)archive_entry_size(entry),
			(int)archive_entry_rdevmajor(entry), (int)archive_entry_rdevminor(entry));
	}
	archive_read_free(ar);
}

static void holds_agent_and_modules(void **state)
{
	autofree char *path = NULL;
	struct error err = ERROR_INIT;
	char text[1024];

	(void)state;
	publish("b.ko\na.ko\nsigned.ko\nlying.ko\n");
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &path, &err), 0);
	list_archive(path, text, sizeof(text));
	assert_string_equal(text, "init 100755 9 0:0\n"
				  "dev 40755 0 0:0\n"
				  "proc 40755 0 0:0\n"
				  "sys 40755 0 0:0\n"
				  "run 40755 0 0:0\n"
				  "new 40755 0 0:0\n"
				  "dev/console 20600 0 5:1\n"
				  "modules 40755 0 0:0\n"
				  "modules/list 100644 29 0:0\n"
				  "modules/b.ko 100644 2 0:0\n"
				  "modules/a.ko 100644 3 0:0\n"
				  "modules/signed.ko 100644 4 0:0\n"
				  "modules/lying.ko 100644 41 0:0\n");
}

static void made_once_and_again_when_lost(void **state)
{
	autofree char *first = NULL;
	autofree char *second = NULL;
	autofree char *third = NULL;
	struct error err = ERROR_INIT;
	struct stat a;
	struct stat b;

	(void)state;
	publish("a.ko\n");
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &first, &err), 0);
	assert_int_equal(stat(first, &a), 0);
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &second, &err), 0);
	assert_int_equal(stat(second, &b), 0);
	assert_string_equal(first, second);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(remove_tree_at(scratch.fd, "cache"), 0);
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &third, &err), 0);
	assert_string_equal(first, third);
	assert_int_equal(scratch_count(&scratch, "cache/initramfs"), 1);
}

static void another_agent_is_another_file(void **state)
{
	autofree char *first = NULL;
	autofree char *second = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	publish(NULL);
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &first, &err), 0);
	assert_int_equal(write_file_at(scratch.fd, "agent", "a newer one", 11, 0755), 0);
	assert_int_equal(kernel_initramfs(&paths, kernel.id, &second, &err), 0);
	assert_string_not_equal(first, second);
}

static void errors_say_what_is_missing(void **state)
{
	static const char none[] =
		"sha256-5d3174688cd4885b0381cfba54f6a980fad7a6c8ed2fd20e8404fb3203051ea1";
	autofree char *path = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	publish("a.ko\nc.ko\n");
	assert_true(kernel_initramfs(&paths, kernel.id, &path, &err) < 0);
	assert_non_null(strstr(err.msg, "module c.ko"));
	assert_int_equal(scratch_count(&scratch, "cache/initramfs"), 0);
	publish("../../../etc/passwd\n");
	assert_true(kernel_initramfs(&paths, kernel.id, &path, &err) < 0);
	assert_non_null(strstr(err.msg, "damaged"));
	assert_true(kernel_initramfs(&paths, none, &path, &err) < 0);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(unlinkat(scratch.fd, "agent", 0), 0);
	assert_true(kernel_initramfs(&paths, kernel.id, &path, &err) < 0);
	assert_non_null(strstr(err.msg, "guest agent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(holds_agent_and_modules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(made_once_and_again_when_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_agent_is_another_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_say_what_is_missing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
