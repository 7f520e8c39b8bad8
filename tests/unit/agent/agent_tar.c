/* SPDX-License-Identifier: Apache-2.0 */
/* Against the system's own tar in both directions, and against archives that lie. */
#include "lib/tar/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/header.h"
#include "tests/unit/test.h"

static char base[] = "/tmp/agent-tar-XXXXXX";
static int base_fd = -1;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return base_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	close_keep_errno(base_fd);
	return remove_tree_at(tmp, base + strlen("/tmp/"));
}

/* Runs a shell script in the test's folder. */
static void run(const char *script)
{
	char command[8192];

	(void)snprintf(command, sizeof(command), "cd %s && { %s\n}", base, script);
	/* A fixed script. NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe) */
	assert_int_equal(system(command), 0);
}

static int folder(const char *name)
{
	int fd = open_subdir(base_fd, name, 0755);

	assert_true(fd >= 0);
	return fd;
}

static void pack(const char *from, const char *archive)
{
	autoclose int dir = folder(from);
	autoclose int out =
		openat(base_fd, archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	const struct tar_part all = { .dir_fd = dir };
	struct error err = ERROR_INIT;

	assert_true(out >= 0);
	if (tar_write_parts(out, &all, 1, TAR_KEEP_OWNER, &err) < 0)
		fail_msg("%s", err.msg);
}

static int unpack(const char *archive, const char *to, struct error *err)
{
	autoclose int dir = folder(to);
	autoclose int in = openat(base_fd, archive, O_RDONLY | O_CLOEXEC);

	assert_true(in >= 0);
	return tar_read(in, dir, TAR_KEEP_OWNER, err);
}

/* Everything that a listing of the tree can tell but the times of folders. */
#define LISTING(dir)                                                                    \
	"(cd " dir " && find . -mindepth 1 \\( -type d -printf '%p %y %m %U %G\\n' -o " \
	"-printf '%p %y %m %U %G %s %T@ %l %n\\n' \\) | sort && "                       \
	"find . -type f -print0 | sort -z | xargs -0 -r sha256sum)"

#define COMPARE(a, b) LISTING(a) " > a.txt; " LISTING(b) " > b.txt; diff a.txt b.txt"

static const char make_tree[] =
	"rm -rf src dst x.tar; mkdir -p src/dir/sub src/empty && cd src &&"
	"echo hello > file && chmod 640 file && : > nothing &&"
	"printf 'a\\nb' > 'name with spaces' && echo x > \"$(printf 'new\\nline')\" &&"
	"echo x > \"$(printf '%0250d' 7)\" &&"
	"d=\"deep/$(printf '%0200d' 1)/$(printf '%0200d' 2)\" && mkdir -p \"$d\" && echo y > "
	"\"$d/f\" &&"
	"ln -s file link && ln -s \"$(printf '%0300d' 3)\" long-link && ln file dir/hard &&"
	"mkfifo pipe && chmod 4755 nothing && chmod 1777 empty &&"
	"truncate -s 20M sparse && printf end >> sparse && printf mid | dd of=sparse bs=1 "
	"seek=5000000 conv=notrunc 2>/dev/null &&"
	"head -c 300000 /dev/urandom > random && head -c 512 /dev/urandom > one-block &&"
	"truncate -s 3M hole && chown 1234:4321 file";

static void what_we_pack_the_systems_tar_unpacks(void **state)
{
	(void)state;
	run(make_tree);
	pack("src", "x.tar");
	run("mkdir dst && tar -C dst -xpf x.tar --numeric-owner");
	run(COMPARE("src", "dst"));
}

static void what_the_systems_tar_packs_we_unpack(void **state)
{
	static const char *const formats[] = { "pax", "gnu", "pax --sparse" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct error err = ERROR_INIT;
		char command[256];
		const char *compare = COMPARE("src", "dst");

		run(make_tree);
		(void)snprintf(command, sizeof(command), "tar -C src -cf x.tar --format=%s .",
			       formats[i]);
		run(command);
		if (unpack("x.tar", "dst", &err) < 0)
			fail_msg("%s: %s", formats[i], err.msg);
		/* GNU's own format has no fractions of a second. */
		if (i == 1)
			run("for d in src dst; do find $d -exec touch -h -d @0 {} +; done");
		run(compare);
	}
}

static void holes_stay_holes(void **state)
{
	struct error err = ERROR_INIT;
	struct stat archive;
	struct stat st;

	(void)state;
	run("rm -rf src dst x.tar; mkdir src; truncate -s 10G src/big; printf x >> src/big");
	pack("src", "x.tar");
	assert_int_equal(fstatat(base_fd, "x.tar", &archive, 0), 0);
	assert_true(archive.st_size < 100000);
	assert_int_equal(unpack("x.tar", "dst", &err), 0);
	assert_int_equal(fstatat(base_fd, "dst/big", &st, 0), 0);
	assert_true(st.st_size == 10LL * 1024 * 1024 * 1024 + 1);
	assert_true(st.st_blocks < 1000);
	run("tail -c 1 dst/big | grep -q x");
}

static void existing_files_are_replaced_and_folders_kept(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	run("rm -rf src dst x.tar; mkdir -p src/d dst/d; echo new > src/d/f; echo old > dst/d/f;"
	    "echo keep > dst/d/other; ln dst/d/f dst/twin");
	pack("src", "x.tar");
	assert_int_equal(unpack("x.tar", "dst", &err), 0);
	run("grep -q new dst/d/f && grep -q keep dst/d/other && grep -q old dst/twin");
}

/* --- archives that lie --- */

struct lie {
	struct tar_header h[4];
	size_t n;
};

static struct tar_header *add(struct lie *lie, char type, const char *name, const char *link)
{
	struct tar_header *h = &lie->h[lie->n++];

	*h = (struct tar_header){ .type = type };
	memcpy(h->magic, "ustar", 6);
	memcpy(h->name, name, strlen(name));
	memcpy(h->link, link, strlen(link));
	(void)tar_put_number(h->mode, sizeof(h->mode), 0644);
	(void)tar_put_number(h->uid, sizeof(h->uid), 0);
	(void)tar_put_number(h->gid, sizeof(h->gid), 0);
	(void)tar_put_number(h->size, sizeof(h->size), 0);
	(void)tar_put_number(h->mtime, sizeof(h->mtime), 0);
	return h;
}

static int unpack_lie(struct lie *lie, struct error *err)
{
	for (size_t i = 0; i < lie->n; i++)
		tar_set_checksum(&lie->h[i]);
	assert_int_equal(write_file_at(base_fd, "lie.tar", lie->h, lie->n * TAR_BLOCK, 0644), 0);
	return unpack("lie.tar", "dst", err);
}

static void names_do_not_leave_the_folder(void **state)
{
	static const char *const climbing[] = { "../out", "a/../../out", "..", "a/.." };

	(void)state;
	run("rm -rf dst out");
	for (size_t i = 0; i < ARRAY_SIZE(climbing); i++) {
		struct error err = ERROR_INIT;
		struct lie lie = { .n = 0 };

		add(&lie, '0', climbing[i], "");
		assert_true(unpack_lie(&lie, &err) < 0);
		assert_int_equal(err.code, ERR_INVALID);
	}
	run("test ! -e out");
}

static void links_do_not_lead_out(void **state)
{
	struct error err = ERROR_INIT;
	struct lie through = { .n = 0 };
	struct lie absolute = { .n = 0 };
	struct lie hard = { .n = 0 };
	char outside[PATH_MAX];

	(void)state;
	run("rm -rf dst out; mkdir out; echo secret > out/file");
	(void)snprintf(outside, sizeof(outside), "%s/out", base);
	/* A link up and a file through it: the link is made, the file ends up inside. */
	add(&through, '2', "up", "../out");
	add(&through, '0', "up/new", "");
	(void)unpack_lie(&through, &err);
	add(&absolute, '2', "abs", outside);
	add(&absolute, '0', "abs/new", "");
	(void)unpack_lie(&absolute, &err);
	/* A hard link to what is outside. */
	add(&hard, '2', "up2", "../out");
	add(&hard, '1', "stolen", "up2/file");
	assert_true(unpack_lie(&hard, &err) < 0);
	run("test ! -e out/new && test ! -e dst/stolen && test \"$(ls out)\" = file");
}

static void an_absolute_name_is_taken_as_relative(void **state)
{
	struct error err = ERROR_INIT;
	struct lie lie = { .n = 0 };

	(void)state;
	run("rm -rf dst");
	add(&lie, '0', "/etc/banger-test", "");
	assert_int_equal(unpack_lie(&lie, &err), 0);
	run("test -f dst/etc/banger-test && test ! -e /etc/banger-test");
}

static void broken_archives_are_refused(void **state)
{
	struct lie truncated = { .n = 0 };
	struct lie no_tar = { .n = 0 };
	struct lie long_header = { .n = 0 };
	struct lie bad_size = { .n = 0 };
	struct lie kind = { .n = 0 };
	struct error err = ERROR_INIT;
	struct tar_header *h;

	(void)state;
	h = add(&truncated, '0', "f", "");
	(void)tar_put_number(h->size, sizeof(h->size), 1000000);
	assert_true(unpack_lie(&truncated, &err) < 0);
	h = add(&long_header, 'x', "f", "");
	(void)tar_put_number(h->size, sizeof(h->size), 0100000000);
	assert_true(unpack_lie(&long_header, &err) < 0);
	h = add(&bad_size, '0', "f", "");
	memset(h->size, 0xff, sizeof(h->size));
	assert_true(unpack_lie(&bad_size, &err) < 0);
	add(&kind, 'Z', "f", "");
	assert_true(unpack_lie(&kind, &err) < 0);
	add(&no_tar, '0', "f", "");
	no_tar.h[0].checksum[0] = '7';
	assert_int_equal(write_file_at(base_fd, "lie.tar", no_tar.h, TAR_BLOCK, 0644), 0);
	assert_true(unpack("lie.tar", "dst", &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_we_pack_the_systems_tar_unpacks),
		cmocka_unit_test(what_the_systems_tar_packs_we_unpack),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(existing_files_are_replaced_and_folders_kept),
		cmocka_unit_test(names_do_not_leave_the_folder),
		cmocka_unit_test(links_do_not_lead_out),
		cmocka_unit_test(an_absolute_name_is_taken_as_relative),
		cmocka_unit_test(broken_archives_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
