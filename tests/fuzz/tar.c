/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives for the agent. Checksums of header blocks are put right first, or nothing would get past
 * them. Whatever is unpacked stays in its folder: the file beside it is untouched and alone.
 */
#include "lib/tar/tar.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/header.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 64 * 1024, CUT = 128 };

static int base_fd = -1;
static char base[] = "/tmp/fuzz-tar-XXXXXX";

static void remove_base(void)
{
	autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)remove_tree_at(tmp, base + strlen("/tmp/"));
}

static void make_base(void)
{
	if (base_fd >= 0)
		return;
	assert(mkdtemp(base));
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(base_fd >= 0 && atexit(remove_base) == 0);
	assert(write_file_at(base_fd, "beside", "untouched", 9, 0644) == 0);
}

static void check_beside(void)
{
	CLEANUP(free_p)
	char *text = NULL;
	struct stat st;
	size_t len;
	size_t n = 0;
	DIR *dir = fdopendir(openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	assert(dir);
	while (readdir(dir)) /* NOLINT(concurrency-mt-unsafe): one thread */
		n++;
	(void)closedir(dir);
	assert(n == 4); /* ".", "..", "beside" and "in" */
	assert(fstatat(base_fd, "beside", &st, AT_SYMLINK_NOFOLLOW) == 0);
	assert(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644 && st.st_nlink == 1);
	assert(read_file_at(base_fd, "beside", 100, &text, &len) == 0 && len == 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[INPUT_MAX];
	autoclose int in = memfd_create("archive", MFD_CLOEXEC);
	autoclose int dir = -1;
	struct error err = ERROR_INIT;

	if (size > sizeof(copy) || size % CUT != 0)
		return 0; /* cuts within a block are all alike, and each input costs files */
	make_base();
	memcpy(copy, data, size);
	for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK) {
		struct tar_header h;

		memcpy(&h, copy + at, sizeof(h));
		if (memcmp(h.magic, "ustar", 5) == 0) {
			tar_set_checksum(&h);
			memcpy(copy + at, &h, sizeof(h));
		}
	}
	assert(in >= 0 && write_all(in, copy, size) == 0 && lseek(in, 0, SEEK_SET) == 0);
	dir = open_subdir(base_fd, "in", 0700);
	assert(dir >= 0);
	if (tar_read(in, dir, TAR_KEEP_OWNER, &err) < 0)
		assert(err.code != ERR_NONE && err.msg[0]);
	check_beside();
	assert(remove_tree_at(base_fd, "in") == 0);
	return 0;
}
