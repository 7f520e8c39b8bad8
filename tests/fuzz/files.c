/* SPDX-License-Identifier: Apache-2.0 */
/* A Debian package (first byte even), a compressed file (odd) or the members of a tar archive (3):
 * names come without "./", content belongs to a file that was named, members lie in their archive,
 * and a refusal has its reason. */
#include <assert.h>
#include <locale.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "server/unpack/files.h"
#include "server/unpack/members.h"
#include "tests/fuzz/fuzz.h"

enum { ENOUGH = 1 << 20 };

struct seen {
	bool package;
	size_t members;
	uint64_t bytes;
};

static int on_member(void *data, const char *name, struct error *err)
{
	struct seen *seen = data;

	(void)err;
	assert(seen->package && !str_has_prefix(name, "./"));
	seen->members++;
	return 0;
}

static int on_bytes(void *data, const void *bytes, size_t len, struct error *err)
{
	struct seen *seen = data;

	assert(bytes && len > 0 && (!seen->package || seen->members > 0));
	seen->bytes += len;
	return seen->bytes > ENOUGH ? error_set(err, ERR_TOO_LARGE, "enough") : 0;
}

static int on_listed(void *data, const struct unpack_listed *member, struct error *err)
{
	const size_t *size = data;
	size_t len = strnlen(member->name, sizeof(member->name));

	(void)err;
	assert(member->at <= *size && member->size <= *size - member->at);
	assert(len < sizeof(member->name) && !str_has_prefix(member->name, "./"));
	assert(len == 0 || member->name[len - 1] != '/');
	assert(strnlen(member->link, sizeof(member->link)) < sizeof(member->link));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct files_sink sink = { .member = on_member, .bytes = on_bytes };
	const struct files_range range = { .len = size, .out_len = UINT64_MAX };
	struct seen seen = { .package = size == 0 || data[0] % 2 == 0 };
	int r, fd = memfd_create("file", MFD_CLOEXEC);
	struct error err = ERROR_INIT;

	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* NOLINT(concurrency-mt-unsafe): one thread */
	assert(fd >= 0 && (size == 0 || write_all(fd, data + 1, size - 1) == 0));
	assert(lseek(fd, 0, SEEK_SET) == 0);
	if (seen.package)
		r = files_package(fd, &sink, &seen, &err);
	else if (data[0] == 3)
		r = members_list(fd, on_listed, &size, &err);
	else
		r = files_plain(fd, &range, &sink, &seen, &err);
	assert((r < 0) == (err.code != ERR_NONE));
	(void)close(fd);
	return 0;
}
