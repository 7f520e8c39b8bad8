/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/modules.h"

#include "lib/base/cleanup.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/test.h"

static void add(struct module_set *set, const char *path, const char *depends)
{
	struct blob ko = fixture_module(depends);
	struct error err = ERROR_INIT;

	assert_int_equal(module_set_add(set, path, ko.data, ko.len, &err), 0);
	free(ko.data);
}

/* What a guest needs, in an order that is not the load order. */
static void add_needed(struct module_set *set)
{
	add(set, "kernel/fs/overlayfs/overlay.ko", "");
	add(set, "kernel/drivers/net/virtio_net.ko", "virtio_ring,net_failover,virtio");
	add(set, "kernel/drivers/net/net_failover.ko", "failover");
	add(set, "kernel/net/core/failover.ko", "");
	add(set, "kernel/drivers/block/virtio_blk.ko", "virtio_ring,virtio");
	add(set, "kernel/drivers/virtio/virtio_ring.ko", "");
	add(set, "kernel/drivers/virtio/virtio.ko", "virtio_ring");
	add(set, "kernel/drivers/virtio/virtio_mmio.ko", "virtio_ring,virtio");
	add(set, "kernel/drivers/char/virtio_console.ko", "virtio_ring,virtio");
	add(set, "kernel/drivers/char/hw_random/virtio-rng.ko", "virtio_ring,virtio");
}

static void dependencies_load_first(void **state)
{
	struct module_set set CLEANUP(module_set_done) = { 0 };
	autofree const char **names = NULL;
	struct error err = ERROR_INIT;
	char all[512] = "";
	size_t n = 0;

	(void)state;
	add_needed(&set);
	module_set_sort(&set);
	assert_int_equal(modules_resolve(&set, "kernel/fs/ext4/ext4.ko\nkernel/fs/squashfs.ko",
					 &names, &n, &err),
			 0);
	for (size_t i = 0; i < n; i++) {
		strcat(all, names[i]);
		strcat(all, " ");
	}
	assert_string_equal(all, "virtio_ring virtio virtio_mmio virtio_blk virtio_console overlay "
				 "failover net_failover virtio_net virtio_rng ");
}

static void all_that_is_missing_is_named(void **state)
{
	struct module_set set CLEANUP(module_set_done) = { 0 };
	const char **names = NULL;
	struct error err = ERROR_INIT;
	size_t n = 0;

	(void)state;
	add_needed(&set);
	module_set_sort(&set);
	assert_true(modules_resolve(&set, "", &names, &n, &err) < 0);
	assert_string_equal(err.msg, "the kernel lacks squashfs (reads images), ext4 (work disks)");
	err = ERROR_INIT;
	set.n = 0;
	assert_true(modules_resolve(&set, "kernel/fs/overlayfs/overlay.ko\n", &names, &n, &err) <
		    0);
	assert_non_null(strstr(err.msg, "virtio_blk (disks)"));
	assert_non_null(strstr(err.msg, "squashfs (reads images)"));
	assert_null(strstr(err.msg, "overlay"));
	assert_null(strstr(err.msg, "virtio_rng"));
	set.n = 10;
}

static void circles_and_gaps_are_refused(void **state)
{
	static const struct {
		const char *depends;
		const char *says;
	} rows[] = {
		{ "virtio_blk", "circle" },
		{ "nowhere", "nowhere, which is not there" },
		{ "a123456789a123456789a123456789a123456789a123456789a123456789a123456789",
		  "bad list" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct module_set set CLEANUP(module_set_done) = { 0 };
		const char **names = NULL;
		struct error err = ERROR_INIT;
		size_t n = 0;

		add(&set, "virtio_blk.ko", "virtio_x");
		add(&set, "virtio_x.ko", rows[i].depends);
		module_set_sort(&set);
		assert_true(modules_resolve(&set, "virtio_mmio.ko", &names, &n, &err) < 0);
		assert_non_null(strstr(err.msg, rows[i].says));
	}
}

static void names_of_files(void **state)
{
	static const struct {
		const char *path;
		const char *name;
	} rows[] = {
		{ "kernel/drivers/char/hw_random/virtio-rng.ko", "virtio_rng" },
		{ "overlay.ko.xz", "overlay" },
		{ "overlay.ko.zst", "overlay" },
		{ "a/overlay.ko.gz", "overlay" },
		{ "overlay.ko.bak", NULL },
		{ "overlay.kot", NULL },
		{ ".ko", NULL },
		{ "modules.dep", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[MODULE_NAME_MAX];
		int r = module_name(rows[i].path, name);

		assert_int_equal(r == 0, rows[i].name != NULL);
		if (rows[i].name)
			assert_string_equal(name, rows[i].name);
	}
}

/* Each prefix of a module, and each of its bytes changed: refused or read, never read beyond. */
static void damaged_modules(void **state)
{
	struct blob ko = fixture_module("virtio_ring");

	(void)state;
	for (size_t len = 0; len < ko.len; len++) {
		struct module_set set CLEANUP(module_set_done) = { 0 };
		struct error err = ERROR_INIT;
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, ko.data, len);
		(void)!module_set_add(&set, "a.ko", copy, len, &err);
		free(copy);
	}
	for (size_t i = 0; i < 400; i++) {
		struct module_set set CLEANUP(module_set_done) = { 0 };
		struct error err = ERROR_INIT;

		ko.data[i] ^= 0xff;
		(void)!module_set_add(&set, "a.ko", ko.data, ko.len, &err);
		ko.data[i] ^= 0xff;
	}
	free(ko.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dependencies_load_first),
		cmocka_unit_test(all_that_is_missing_is_named),
		cmocka_unit_test(circles_and_gaps_are_refused),
		cmocka_unit_test(names_of_files),
		cmocka_unit_test(damaged_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
