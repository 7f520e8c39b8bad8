/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_package.h"

#include <archive.h>
#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/inflate.h"
#include "server/image/vmlinux.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/test.h"

enum { ELF_LEN = 300 * 1024 };

static struct scratch scratch;
static char *kernels;
static struct image_paths paths = { .libexec = LIBEXEC_DIR };

static int set_up(void **state)
{
	(void)state;
	scratch_open(&scratch);
	kernels = scratch_path(&scratch, "kernels");
	paths.kernels = kernels;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_done(&scratch);
	free(kernels);
	return 0;
}

/* --- vmlinux from bzImage --- */

struct extraction {
	const struct blob *image;
	int fd;
};

static int extract_body(struct op *op, void *data, struct error *err)
{
	struct vmlinux_file file CLEANUP(vmlinux_unmap) = VMLINUX_FILE_INIT;
	struct unpacker u CLEANUP(unpacker_done) = UNPACKER_INIT;
	autoclose int from = memfd_create("image", MFD_CLOEXEC);
	const struct extraction *x = data;
	int r;

	assert_int_equal(write_all(from, x->image->data, x->image->len), 0);
	assert_int_equal(vmlinux_map(from, &file, err), 0);
	r = unpacker_start(&paths, UNPACK_FILES, -1, op, &u, err);
	return r < 0 ? r : vmlinux_extract(&u, &file, x->fd, err);
}

static void every_compression(void **state)
{
	static const int filters[] = { ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ,
				       ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_LZ4 };
	struct blob elf = fixture_elf(ELF_LEN);

	(void)state;
	assert_true(vmlinux_has_pvh(elf.data, elf.len));
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		struct blob payload = fixture_compress(elf.data, elf.len, filters[i]);
		struct blob image = fixture_bzimage("6.1.0-x extra words", &payload, ELF_LEN);
		autoclose int fd = memfd_create("vmlinux", MFD_CLOEXEC);
		struct extraction x = { .image = &image, .fd = fd };
		struct error err = ERROR_INIT;
		char version[32];
		uint8_t *out = malloc(ELF_LEN);

		if (run_body(extract_body, &x, &err) < 0)
			fail_msg("%zu %s", i, err.msg);
		assert_int_equal(pread(fd, out, ELF_LEN, 0), ELF_LEN);
		assert_int_equal(lseek(fd, 0, SEEK_END), ELF_LEN);
		assert_memory_equal(out, elf.data, ELF_LEN);
		assert_int_equal(
			vmlinux_version(image.data, image.len, version, sizeof(version), &err), 0);
		assert_string_equal(version, "6.1.0-x");
		free(out);
		free(payload.data);
		free(image.data);
	}
	free(elf.data);
}

static int extract(const struct blob *image, struct error *err)
{
	autoclose int fd = memfd_create("vmlinux", MFD_CLOEXEC);
	struct extraction x = { .image = image, .fd = fd };

	*err = ERROR_INIT;
	return run_body(extract_body, &x, err);
}

static void bad_kernels(void **state)
{
	struct blob elf = fixture_elf(ELF_LEN);
	struct blob payload = fixture_compress(elf.data, elf.len, ARCHIVE_FILTER_GZIP);
	struct blob image = fixture_bzimage("1", &payload, ELF_LEN);
	struct blob more = fixture_bzimage("1", &payload, ELF_LEN + 1);
	uint8_t words[] = "no kernel";
	struct blob no_elf = { .data = words, .len = 9 };
	struct blob text = fixture_bzimage("1", &no_elf, 9);
	struct blob part = image;
	struct error err;
	uint32_t far = 0x7fffffff;

	(void)state;
	assert_int_equal(extract(&image, &err), 0);
	part.len = 100;
	assert_true(extract(&part, &err) < 0);
	assert_non_null(strstr(err.msg, "neither a bzImage"));
	part.len = image.len - 20;
	assert_true(extract(&part, &err) < 0);
	assert_non_null(strstr(err.msg, "outside of the file"));
	assert_true(extract(&more, &err) < 0);
	assert_non_null(strstr(err.msg, "truncated"));
	assert_true(extract(&text, &err) < 0);
	assert_non_null(strstr(err.msg, "not a 64-bit x86 ELF"));
	memcpy(image.data + 0x248, &far, sizeof(far));
	assert_true(extract(&image, &err) < 0);
	assert_non_null(strstr(err.msg, "outside of the file"));
	free(elf.data);
	free(payload.data);
	free(image.data);
	free(more.data);
	free(text.data);
}

static void damaged_notes(void **state)
{
	struct blob elf = fixture_elf(256);

	(void)state;
	for (size_t len = 0; len < elf.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, elf.data, len);
		(void)vmlinux_has_pvh(copy, len);
		free(copy);
	}
	elf.data[sizeof(uint64_t) * 8 + 56 + 8] = 17; /* the note's type */
	assert_false(vmlinux_has_pvh(elf.data, elf.len));
	free(elf.data);
}

static void a_kernel_is_whole_or_not(void **state)
{
	struct blob elf = fixture_elf(ELF_LEN);
	const Elf64_Phdr all = { .p_type = PT_LOAD, .p_filesz = ELF_LEN };
	Elf64_Ehdr eh, saved;

	(void)state;
	/* Nothing that would be loaded. */
	assert_false(vmlinux_is_whole(elf.data, elf.len));
	memcpy(elf.data + sizeof(eh), &all, sizeof(all));
	assert_true(vmlinux_is_whole(elf.data, elf.len));
	assert_false(vmlinux_is_whole(elf.data, elf.len - 1));
	memcpy(&saved, elf.data, sizeof(saved));
	eh = saved;
	eh.e_phnum = 0;
	memcpy(elf.data, &eh, sizeof(eh));
	assert_false(vmlinux_is_whole(elf.data, elf.len));
	eh = saved;
	eh.e_phoff = UINT64_MAX - 8;
	memcpy(elf.data, &eh, sizeof(eh));
	assert_false(vmlinux_is_whole(elf.data, elf.len));
	eh = saved;
	eh.e_shoff = ELF_LEN;
	eh.e_shnum = 1;
	memcpy(elf.data, &eh, sizeof(eh));
	assert_false(vmlinux_is_whole(elf.data, elf.len));
	free(elf.data);
}

struct bomb {
	int in;
	int out;
};

static int bomb_body(struct op *op, void *data, struct error *err)
{
	struct unpacker u CLEANUP(unpacker_done) = UNPACKER_INIT;
	struct bomb *bomb = data;
	const struct inflate what = {
		.fd = bomb->in, .len = UINT32_MAX, .out_len = UINT64_MAX, .out_max = 1 << 20
	};
	int r = unpacker_start(&paths, UNPACK_FILES, -1, op, &u, err);

	return r < 0 ? r : inflate(&u, &what, inflate_to_fd, &bomb->out, err);
}

static void a_bomb_is_stopped(void **state)
{
	struct blob zeros = { .data = calloc(1, 4 << 20), .len = 4 << 20 };
	struct blob packed = fixture_compress(zeros.data, zeros.len, ARCHIVE_FILTER_XZ);
	struct bomb bomb = { .in = memfd_create("in", MFD_CLOEXEC),
			     .out = memfd_create("out", MFD_CLOEXEC) };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(write_all(bomb.in, packed.data, packed.len), 0);
	assert_true(run_body(bomb_body, &bomb, &err) < 0);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	assert_true(lseek(bomb.out, 0, SEEK_END) <= 1 << 20);
	assert_int_equal(close(bomb.in), 0);
	assert_int_equal(close(bomb.out), 0);
	free(zeros.data);
	free(packed.data);
}

/* --- packages --- */

struct import {
	int deb;
	struct kernel_info info;
};

static int import_body(struct op *op, void *data, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct import *im = data;
	int r = staging_open(kernels, &staging, err);

	return r < 0 ? r : kernel_from_package(&paths, &staging, im->deb, op, &im->info, err);
}

enum { IMAGE_AT = 1 };

/* A package that has all that is needed; the caller may change entries before using it. */
static void package_files(struct fixture_file files[16], struct blob *image, struct blob *virtio,
			  struct blob *plain, struct blob *xz)
{
	struct blob elf = fixture_elf(ELF_LEN);
	struct blob payload = fixture_compress(elf.data, elf.len, ARCHIVE_FILTER_LZ4);

	*image = fixture_bzimage("6.1.0-x", &payload, ELF_LEN);
	*virtio = fixture_module("virtio_ring,virtio");
	*plain = fixture_module("");
	*xz = fixture_compress(plain->data, plain->len, ARCHIVE_FILTER_XZ);
	free(elf.data);
	free(payload.data);
	memcpy(files,
	       (struct fixture_file[16]){
		       { "./boot/", NULL, 0, 0 },
		       { "./boot/vmlinuz-6.1.0-x", image->data, image->len, 0 },
		       { "./boot/config-6.1.0-x", "CONFIG_PVH=y\n", 13, 0 },
		       { "./lib/modules/6.1.0-x/modules.builtin",
			 "kernel/fs/squashfs.ko\nkernel/fs/ext4/ext4.ko\n", 45, 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio_blk.ko", virtio->data, virtio->len,
			 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio_mmio.ko", virtio->data, virtio->len,
			 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio_net.ko", virtio->data, virtio->len,
			 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio_console.ko", virtio->data,
			 virtio->len, 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio.ko", plain->data, plain->len, 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/virtio_ring.ko", plain->data, plain->len,
			 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/unused.ko", plain->data, plain->len, 0 },
		       { "./lib/modules/6.1.0-x/kernel/a/overlay.ko.xz", xz->data, xz->len, 0 },
		       { NULL, NULL, 0, 0 },
	       },
	       sizeof(struct fixture_file[16]));
}

static int import_files(const struct fixture_file *files, struct import *im, struct error *err)
{
	int r;

	im->deb = fixture_deb(files, ARCHIVE_FILTER_XZ);
	(void)snprintf(im->info.name, sizeof(im->info.name), "test");
	r = run_body(import_body, im, err);
	assert_int_equal(close(im->deb), 0);
	return r;
}

static void a_package_becomes_a_kernel(void **state)
{
	struct fixture_file files[16];
	struct blob image, virtio, plain, xz;
	struct kernel_info there;
	struct import im = { 0 };
	autofree char *list = NULL;
	autofree char *list_path = NULL;
	autofree char *overlay = NULL;
	struct error err = ERROR_INIT;
	autoclose int dir = -1;
	size_t len = 0;

	(void)state;
	package_files(files, &image, &virtio, &plain, &xz);
	assert_int_equal(import_files(files, &im, &err), 0);
	assert_string_equal(im.info.version, "6.1.0-x");
	assert_int_equal(im.info.size_bytes, ELF_LEN);
	assert_int_equal(kernel_load(&paths, im.info.id, &there, &err), 0);
	assert_string_equal(there.version, "6.1.0-x");
	assert_int_equal(kernel_verify(&paths, im.info.id, &err), 0);
	assert_int_equal(entry_open(kernels, im.info.id, &dir, &err), 0);
	assert_int_equal(read_file_at(dir, "modules/list", 4096, &list, NULL), 0);
	assert_string_equal(list, "virtio_ring.ko\nvirtio.ko\nvirtio_mmio.ko\nvirtio_blk.ko\n"
				  "virtio_console.ko\noverlay.ko\nvirtio_net.ko\n");
	/* Decompressed, and nothing is left of what is not needed. */
	assert_int_equal(read_file_at(dir, "modules/overlay.ko", 4096, &overlay, &len), 0);
	assert_int_equal(len, plain.len);
	assert_memory_equal(overlay, plain.data, len);
	assert_true(faccessat(dir, "modules.all", F_OK, 0) < 0);
	assert_true(faccessat(dir, "modules/unused.ko", F_OK, 0) < 0);
	assert_int_equal(scratch_count(&scratch, "kernels"), 1);
	assert_int_equal(kernel_remove(&paths, im.info.id, &err), 0);
	free(image.data);
	free(virtio.data);
	free(plain.data);
	free(xz.data);
}

static void bad_packages_leave_nothing(void **state)
{
	static const struct {
		size_t at;
		struct fixture_file with;
		const char *says;
	} rows[] = {
		{ IMAGE_AT, { "./usr/share/doc/x", "x", 1, 0 }, "no boot/vmlinuz" },
		{ IMAGE_AT, { "./boot/vmlinuz-x", "x", 1, 0 }, "neither a bzImage" },
		{ 4,
		  { "./lib/modules/6.1.0-x/kernel/a/virtio_blk.ko", "x", 1, 0 },
		  "not a kernel module" },
		{ 4, { "./other", "x", 1, 0 }, "lacks virtio_blk (disks)" },
		{ 8, { "./other", "x", 1, 0 }, "needs virtio, which is not there" },
	};
	struct fixture_file files[16];
	struct blob image, virtio, plain, xz;

	(void)state;
	package_files(files, &image, &virtio, &plain, &xz);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture_file saved = files[rows[i].at];
		struct error err = ERROR_INIT;
		struct import im = { 0 };

		files[rows[i].at] = rows[i].with;
		assert_true(import_files(files, &im, &err) < 0);
		assert_non_null(strstr(err.msg, rows[i].says));
		assert_int_equal(scratch_count(&scratch, "kernels"), 0);
		files[rows[i].at] = saved;
	}
	free(image.data);
	free(virtio.data);
	free(plain.data);
	free(xz.data);
}

/* In the header of a file that nobody needs. */
static void a_damaged_package_leaves_nothing(void **state)
{
	static const char unused[] = "./lib/modules/6.1.0-x/kernel/a/unused.ko";
	struct fixture_file files[16];
	struct blob image, virtio, plain, xz;
	struct error err = ERROR_INIT;
	struct import im = { 0 };
	struct stat st;
	char *bytes;

	(void)state;
	package_files(files, &image, &virtio, &plain, &xz);
	im.deb = fixture_deb(files, ARCHIVE_FILTER_NONE);
	assert_int_equal(fstat(im.deb, &st), 0);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, im.deb, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	*(char *)memmem(bytes, (size_t)st.st_size, unused, sizeof(unused)) = 'x';
	assert_int_equal(munmap(bytes, (size_t)st.st_size), 0);
	assert_true(run_body(import_body, &im, &err) < 0);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, "read package"));
	assert_int_equal(scratch_count(&scratch, "kernels"), 0);
	assert_int_equal(close(im.deb), 0);
	free(image.data);
	free(virtio.data);
	free(plain.data);
	free(xz.data);
}

static void cancelled_leaves_nothing(void **state)
{
	struct fixture_file files[16];
	struct blob image, virtio, plain, xz;
	struct error err = ERROR_INIT;
	struct import im = { 0 };

	(void)state;
	package_files(files, &image, &virtio, &plain, &xz);
	im.deb = fixture_deb(files, ARCHIVE_FILTER_ZSTD);
	assert_true(run_body_cancelled(import_body, &im, &err) < 0);
	assert_int_equal(err.code, ERR_CANCELLED);
	assert_int_equal(scratch_count(&scratch, "kernels"), 0);
	assert_int_equal(close(im.deb), 0);
	free(image.data);
	free(virtio.data);
	free(plain.data);
	free(xz.data);
}

static void not_a_package(void **state)
{
	struct error err = ERROR_INIT;
	struct import im = { .deb = memfd_create("deb", MFD_CLOEXEC) };

	(void)state;
	assert_int_equal(write_all(im.deb, "!<arch>\nrubbish", 15), 0);
	assert_int_equal(lseek(im.deb, 0, SEEK_SET), 0);
	assert_true(run_body(import_body, &im, &err) < 0);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(scratch_count(&scratch, "kernels"), 0);
	assert_int_equal(close(im.deb), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_compression),
		cmocka_unit_test(bad_kernels),
		cmocka_unit_test(damaged_notes),
		cmocka_unit_test(a_kernel_is_whole_or_not),
		cmocka_unit_test(a_bomb_is_stopped),
		cmocka_unit_test_setup_teardown(a_package_becomes_a_kernel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_packages_leave_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_package_leaves_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(cancelled_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_a_package, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
