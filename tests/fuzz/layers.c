/* SPDX-License-Identifier: Apache-2.0 */
/* Two layers in, cut at the first byte's place: what comes out is a tar archive whose names stay in
 * the image, each once, and whose hard links name what came before. */
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <locale.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/unpack/tree.h"
#include "server/unpack/unpack.h"
#include "tests/fuzz/fuzz.h"

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	assert(fd >= 0 && write_all(fd, data, size) == 0);
	return fd;
}

/* The names that were there, as a tree of their own. */
static void check_member(struct tree *seen, struct archive_entry *entry, uint32_t ordinal)
{
	const char *hard = archive_entry_hardlink(entry);
	const struct tree_member m = { .path = archive_entry_pathname(entry),
				       .target = hard ? hard : archive_entry_symlink(entry),
				       .type = archive_entry_filetype(entry),
				       .hard_link = hard != NULL,
				       .ordinal = ordinal };
	struct error err = ERROR_INIT;

	if (!m.path)
		return;
	assert(m.path[0] != '/' && !strstr(m.path, "/../") && !str_has_prefix(m.path, "../"));
	assert(!hard || tree_find(seen, hard) != TREE_NONE);
	(void)!tree_apply(seen, &m, &err);
}

static void check_stream(int out)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *entry;
	struct tree seen;
	uint32_t n = 0;

	assert(ar && tree_init(&seen) == 0 && lseek(out, 0, SEEK_SET) == 0);
	assert(archive_read_support_format_tar(ar) == ARCHIVE_OK);
	if (archive_read_open_fd(ar, out, 10240) == ARCHIVE_OK)
		while (archive_read_next_header(ar, &entry) >= ARCHIVE_WARN && n < 10000)
			check_member(&seen, entry, n++);
	(void)archive_read_free(ar);
	tree_done(&seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = size ? (size_t)data[0] * 512 : 0;
	int fds[2], out = memfd_create("out", MFD_CLOEXEC);
	struct unpack u = { .layers = fds,
			    .n_layers = 2,
			    .out_fd = out,
			    .bytes_max = 1 << 22,
			    .ratio_from = 1 << 20,
			    .ratio_max = 100 };
	struct error err = ERROR_INIT;

	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* NOLINT(concurrency-mt-unsafe): one thread */
	if (size)
		size--;
	cut = cut < size ? cut : size;
	fds[0] = file_of(data + 1, cut);
	fds[1] = file_of(data + 1 + cut, size - cut);
	if (cut == size)
		u.n_layers = 1;
	if (unpack_run(&u, &err) == 0)
		check_stream(out);
	else
		assert(err.code != ERR_NONE);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(out);
	return 0;
}
