/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/image/fixtures.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "tests/unit/test.h"

enum { BLOB_MAX = 8 << 20 };

/* --- operations --- */

struct runner {
	struct loop *loop;
	op_run_fn *body;
	void *data;
	struct error err;
	int result;
};

static int runner_body(struct op *op, void *data, struct error *err)
{
	struct runner *r = data;

	r->result = r->body(op, r->data, err);
	return r->result;
}

static int runner_body_cancelled(struct op *op, void *data, struct error *err)
{
	op_cancel(op);
	return runner_body(op, data, err);
}

static void runner_ended(struct op *op, void *data)
{
	struct runner *r = data;

	r->err = *op_error(op);
	loop_stop(r->loop);
}

static int run(op_run_fn *wrapper, op_run_fn *body, void *data, struct error *ret_err)
{
	struct runner r = { .body = body, .data = data };
	struct op_spec spec = { .kind = "test", .run = wrapper, .done = runner_ended, .data = &r };
	struct error err = ERROR_INIT;
	struct ops *ops = NULL;
	struct op *op = NULL;

	assert_int_equal(loop_new(&r.loop), 0);
	assert_int_equal(ops_new(r.loop, 1, &ops), 0);
	assert_int_equal(ops_submit(ops, &spec, &op, &err), 0);
	assert_int_equal(loop_run(r.loop), 0);
	ops_free(ops);
	loop_free(r.loop);
	*ret_err = r.err;
	return r.result;
}

int run_body(op_run_fn *body, void *data, struct error *ret_err)
{
	return run(runner_body, body, data, ret_err);
}

int run_body_cancelled(op_run_fn *body, void *data, struct error *ret_err)
{
	return run(runner_body_cancelled, body, data, ret_err);
}

/* --- folders --- */

void scratch_open(struct scratch *s)
{
	(void)snprintf(s->path, sizeof(s->path), "/tmp/banger-image-test.XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->fd >= 0);
}

void scratch_done(struct scratch *s)
{
	assert_int_equal(close(s->fd), 0);
	assert_int_equal(remove_tree_at(AT_FDCWD, s->path), 0);
}

size_t scratch_count(const struct scratch *s, const char *folder)
{
	int fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;
	DIR *dir;

	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	assert_non_null(dir);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (readdir(dir))
		n++;
	assert_int_equal(closedir(dir), 0);
	return n - 2;
}

char *scratch_path(const struct scratch *s, const char *name)
{
	char *path = path_join(s->path, name);

	assert_non_null(path);
	return path;
}

/* --- packages --- */

static void put_entry(struct archive *ar, const char *path, mode_t mode, const void *data,
		      size_t len)
{
	struct archive_entry *entry = archive_entry_new();

	assert_non_null(entry);
	archive_entry_set_pathname(entry, path);
	archive_entry_set_mode(entry, mode);
	archive_entry_set_size(entry, (la_int64_t)len);
	assert_int_equal(archive_write_header(ar, entry), ARCHIVE_OK);
	if (len)
		assert_int_equal(archive_write_data(ar, data, len), len);
	archive_entry_free(entry);
}

static struct blob make_tar(const struct fixture_file *files, int filter)
{
	struct archive *ar = archive_write_new();
	struct blob blob = { .data = malloc(BLOB_MAX) };

	assert_non_null(blob.data);
	assert_int_equal(archive_write_add_filter(ar, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format_gnutar(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(ar, blob.data, BLOB_MAX, &blob.len), ARCHIVE_OK);
	for (const struct fixture_file *f = files; f->path; f++) {
		bool dir = f->path[strlen(f->path) - 1] == '/';
		mode_t mode = f->mode ? f->mode : (dir ? 0755 : 0644);

		put_entry(ar, f->path, (dir ? S_IFDIR : S_IFREG) | mode, f->data, f->len);
	}
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
	return blob;
}

int fixture_deb(const struct fixture_file *files, int filter)
{
	struct blob tar = make_tar(files, filter);
	struct archive *ar = archive_write_new();
	int fd = memfd_create("deb", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(archive_write_set_format_ar_svr4(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_open_fd(ar, fd), ARCHIVE_OK);
	put_entry(ar, "debian-binary", S_IFREG | 0644, "2.0\n", 4);
	put_entry(ar, "control.tar.xz", S_IFREG | 0644, "", 0);
	put_entry(ar, "data.tar", S_IFREG | 0644, tar.data, tar.len);
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
	free(tar.data);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* --- kernels --- */

struct blob fixture_compress(const void *data, size_t len, int filter)
{
	struct archive *ar = archive_write_new();
	struct blob blob = { .data = malloc(BLOB_MAX) };

	assert_non_null(blob.data);
	assert_int_equal(archive_write_add_filter(ar, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format_raw(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_set_bytes_in_last_block(ar, 1), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(ar, blob.data, BLOB_MAX, &blob.len), ARCHIVE_OK);
	put_entry(ar, "data", S_IFREG | 0644, data, len);
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
	return blob;
}

struct blob fixture_elf(size_t len)
{
	static const char name[4] = "Xen";
	struct blob blob = { .data = calloc(1, len), .len = len };
	Elf64_Ehdr eh = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phnum = 1 };
	Elf64_Phdr ph = { .p_type = PT_NOTE };
	Elf64_Nhdr nh = { .n_namesz = sizeof(name), .n_descsz = 4, .n_type = 18 };

	assert_non_null(blob.data);
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_phoff = sizeof(eh);
	ph.p_offset = sizeof(eh) + sizeof(ph);
	ph.p_filesz = sizeof(nh) + sizeof(name) + 4;
	assert_true(len >= ph.p_offset + ph.p_filesz);
	memcpy(blob.data, &eh, sizeof(eh));
	memcpy(blob.data + sizeof(eh), &ph, sizeof(ph));
	memcpy(blob.data + ph.p_offset, &nh, sizeof(nh));
	memcpy(blob.data + ph.p_offset + sizeof(nh), name, sizeof(name));
	return blob;
}

struct blob fixture_bzimage(const char *version, const struct blob *payload, uint32_t out_len)
{
	const size_t setup = 2 * 512;
	struct blob blob = { .data = calloc(1, setup + payload->len + 4),
			     .len = setup + payload->len + 4 };
	uint16_t protocol = 0x020f;
	uint16_t version_at = 0x100;
	uint32_t payload_len = (uint32_t)payload->len + 4;

	assert_non_null(blob.data);
	blob.data[0x1f1] = 1;
	memcpy(blob.data + 0x202, "HdrS", 4);
	memcpy(blob.data + 0x206, &protocol, sizeof(protocol));
	memcpy(blob.data + 0x20e, &version_at, sizeof(version_at));
	memcpy(blob.data + 0x24c, &payload_len, sizeof(payload_len));
	memcpy(blob.data + 0x300, version, strlen(version) + 1);
	memcpy(blob.data + setup, payload->data, payload->len);
	memcpy(blob.data + setup + payload->len, &out_len, sizeof(out_len));
	return blob;
}

struct blob fixture_module(const char *depends)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	char info[256] = "license=GPL";
	size_t info_len = strlen(info) + 1;
	Elf64_Ehdr eh = { .e_type = ET_REL, .e_machine = EM_X86_64, .e_shnum = 3, .e_shstrndx = 2 };
	Elf64_Shdr sh[3] = { { 0 },
			     { .sh_name = 1, .sh_type = SHT_PROGBITS },
			     { .sh_name = 10, .sh_type = SHT_STRTAB } };
	struct blob blob = { .len = 1024 };

	info_len +=
		(size_t)snprintf(info + info_len, sizeof(info) - info_len, "depends=%s", depends) +
		1;
	assert_true(info_len <= sizeof(info));
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_shoff = sizeof(eh);
	sh[1].sh_offset = sizeof(eh) + sizeof(sh);
	sh[1].sh_size = info_len;
	sh[2].sh_offset = sh[1].sh_offset + info_len;
	sh[2].sh_size = sizeof(names);
	blob.data = calloc(1, blob.len);
	assert_non_null(blob.data);
	memcpy(blob.data, &eh, sizeof(eh));
	memcpy(blob.data + sizeof(eh), sh, sizeof(sh));
	memcpy(blob.data + sh[1].sh_offset, info, info_len);
	memcpy(blob.data + sh[2].sh_offset, names, sizeof(names));
	return blob;
}
