/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_build.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/image/kernel_config.h"
#include "server/image/vmlinux.h"
#include "tests/unit/test.h"

static void the_key_depends_on_everything(void **state)
{
	static const char *const inputs[][4] = {
		{ "c", "p", "v", "g" }, { "C", "p", "v", "g" }, { "c", "P", "v", "g" },
		{ "c", "p", "V", "g" }, { "c", "p", "v", "G" }, { "cp", "", "v", "g" },
	};
	struct digest keys[ARRAY_SIZE(inputs)], again;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		assert_int_equal(kernel_build_key(inputs[i][0], inputs[i][1], inputs[i][2],
						  inputs[i][3], &keys[i]),
				 0);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(keys[i].hex, keys[j].hex);
	}
	assert_int_equal(kernel_build_key("c", "p", "v", "g", &again), 0);
	assert_string_equal(again.hex, keys[0].hex);
}

static void lines_that_compile(void **state)
{
	static const struct {
		const char *line;
		const char *file; /* NULL: none */
	} cases[] = {
		{ "  CC      init/main.o", "init/main.o" },
		{ "  AS      arch/x86/lib/memcpy_64.o", "arch/x86/lib/memcpy_64.o" },
		{ "set -e;  echo '  CC      mm/slub.o';    trap 'rm -f mm/slub.o; …", "mm/slub.o" },
		{ "  AR      init/built-in.a", NULL },
		{ "  CC", NULL },
		{ "  CC      ", NULL },
		{ "echo '  ", NULL },
		{ "", NULL },
	};
	char file[KERNEL_BUILD_FILE_MAX];
	char huge[KERNEL_BUILD_FILE_MAX + 64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(kernel_build_compiles(cases[i].line, file), cases[i].file != NULL);
		if (cases[i].file)
			assert_string_equal(file, cases[i].file);
	}
	memset(huge, 'x', sizeof(huge));
	memcpy(huge, "  CC    ", 8);
	huge[sizeof(huge) - 1] = '\0';
	assert_false(kernel_build_compiles(huge, file));
}

static void what_a_kernel_lacks_is_listed(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(kernel_config_check(kernel_config_text(), &err), 0);
	assert_true(kernel_config_check("CONFIG_SQUASHFS=y\n# CONFIG_EXT4_FS is not set\n"
					"CONFIG_VIRTIO_BLK=m\nXCONFIG_OVERLAY_FS=y\n",
					&err) < 0);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, "CONFIG_EXT4_FS (work disks)"));
	assert_non_null(strstr(err.msg, "CONFIG_OVERLAY_FS"));
	assert_null(strstr(err.msg, "CONFIG_SQUASHFS ("));
	assert_null(strstr(err.msg, "CONFIG_VIRTIO_BLK ("));
}

static void built_in_drivers_are_found(void **state)
{
	static const char data[] = "x\0squashfs\0no overlay\0virtio-mmio\0virtio_blk_x\0";
	autofree char *found = vmlinux_builtin(data, sizeof(data));

	(void)state;
	assert_string_equal(found, "kernel/virtio_mmio.ko\nkernel/squashfs.ko\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_depends_on_everything),
		cmocka_unit_test(lines_that_compile),
		cmocka_unit_test(what_a_kernel_lacks_is_listed),
		cmocka_unit_test(built_in_drivers_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
