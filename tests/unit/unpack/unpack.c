/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/unpack/tree.h"
#include "tests/unit/test.h"

/* --- layers, made and looked at --- */

/* 'd' a folder, 'f' a file of content `text`, 'l' a symbolic link to it, 'h' a hard link to it, 'c'
 * a character device; 0 ends a list. */
struct item {
	char type;
	const char *name;
	const char *text;
	mode_t mode; /* 0: 0755 or 0644 */
};

enum { LAYERS_MAX = 8 };

struct layers {
	int fds[LAYERS_MAX];
	size_t n;
};

static void layers_done(struct layers *layers)
{
	for (size_t i = 0; i < layers->n; i++)
		(void)close(layers->fds[i]);
}

static la_ssize_t on_write(struct archive *ar, void *data, const void *bytes, size_t len)
{
	(void)ar;
	assert_int_equal(write_all(*(int *)data, bytes, len), 0);
	return (la_ssize_t)len;
}

static void put_item(struct archive *ar, const struct item *item)
{
	struct archive_entry *entry = archive_entry_new();
	size_t len = item->type == 'f' ? strlen(item->text) : 0;

	archive_entry_set_pathname(entry, item->name);
	archive_entry_set_uid(entry, 7);
	archive_entry_set_gid(entry, 8);
	archive_entry_set_mtime(entry, 1700000000, 0);
	archive_entry_set_size(entry, (la_int64_t)len);
	switch (item->type) {
	case 'd':
		archive_entry_set_mode(entry, S_IFDIR | (item->mode ? item->mode : 0755));
		break;
	case 'l':
		archive_entry_set_mode(entry, S_IFLNK | 0777);
		archive_entry_set_symlink(entry, item->text);
		break;
	case 'c':
		archive_entry_set_mode(entry, S_IFCHR | 0600);
		archive_entry_set_rdevmajor(entry, 1);
		archive_entry_set_rdevminor(entry, 3);
		break;
	default:
		archive_entry_set_mode(entry, S_IFREG | (item->mode ? item->mode : 0644));
		if (item->type == 'h')
			archive_entry_set_hardlink(entry, item->text);
		else
			archive_entry_xattr_add_entry(entry, "user.of", item->name,
						      strlen(item->name));
	}
	assert_true(archive_write_header(ar, entry) >= ARCHIVE_WARN);
	if (len)
		assert_int_equal(archive_write_data(ar, item->text, len), len);
	archive_entry_free(entry);
}

static void add_layer(struct layers *layers, const struct item *items, int filter)
{
	struct archive *ar = archive_write_new();
	int fd = memfd_create("layer", MFD_CLOEXEC);

	assert_true(fd >= 0 && layers->n < LAYERS_MAX);
	assert_int_equal(archive_write_set_format_pax_restricted(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter(ar, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_bytes_in_last_block(ar, 1), ARCHIVE_OK);
	assert_int_equal(archive_write_open(ar, &fd, NULL, on_write, NULL), ARCHIVE_OK);
	for (; items->type; items++)
		put_item(ar, items);
	assert_int_equal(archive_write_free(ar), ARCHIVE_OK);
	layers->fds[layers->n++] = fd;
}

static int run(const struct layers *layers, uint64_t bytes_max, int out, struct error *err)
{
	const struct unpack u = { .layers = layers->fds,
				  .n_layers = layers->n,
				  .out_fd = out,
				  .bytes_max = bytes_max,
				  .ratio_from = 1 << 20,
				  .ratio_max = 50 };

	*err = ERROR_INIT;
	return unpack_run(&u, err);
}

static void describe(struct buf *b, struct archive *ar, struct archive_entry *entry)
{
	const char *name, *hard = archive_entry_hardlink(entry);
	char text[4096];
	const void *value;
	size_t size;
	la_ssize_t n;

	assert_int_equal(buf_printf(b, "%s", archive_entry_pathname(entry)), 0);
	if (hard) {
		assert_int_equal(buf_printf(b, " = %s\n", hard), 0);
		return;
	}
	if (S_ISLNK(archive_entry_mode(entry)))
		assert_int_equal(buf_printf(b, " -> %s", archive_entry_symlink(entry)), 0);
	else
		assert_int_equal(buf_printf(b, " %o", archive_entry_mode(entry) & 07777), 0);
	if (S_ISCHR(archive_entry_mode(entry)))
		assert_int_equal(buf_printf(b, " %u:%u", (unsigned)archive_entry_rdevmajor(entry),
					    (unsigned)archive_entry_rdevminor(entry)),
				 0);
	n = archive_read_data(ar, text, sizeof(text));
	if (n > 0)
		assert_int_equal(buf_printf(b, " '%.*s'", (int)n, text), 0);
	(void)archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		assert_int_equal(buf_printf(b, " %s=%.*s", name, (int)size, (const char *)value),
				 0);
	assert_int_equal(buf_printf(b, "\n"), 0);
}

/* Two empty blocks and nothing behind them: a reader that goes there must not be written to. */
static void expect_end(int out)
{
	static const char zeros[512];
	char blocks[3][512];
	off_t end = lseek(out, 0, SEEK_END);

	assert_true(end >= (off_t)sizeof(blocks));
	assert_int_equal(pread(out, blocks, sizeof(blocks), end - (off_t)sizeof(blocks)),
			 sizeof(blocks));
	assert_memory_equal(blocks[1], zeros, sizeof(zeros));
	assert_memory_equal(blocks[2], zeros, sizeof(zeros));
	assert_memory_not_equal(blocks[0], zeros, sizeof(zeros));
}

/* What comes of the layers: one line a member. */
static void expect(const struct layers *layers, const char *want)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	struct archive *ar = archive_read_new();
	struct archive_entry *entry;
	struct error err;
	struct buf b;

	buf_init(&b, 1 << 20);
	if (run(layers, 1 << 24, out, &err) < 0)
		fail_msg("%s", err.msg);
	expect_end(out);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_int_equal(archive_read_support_format_tar(ar), ARCHIVE_OK);
	assert_int_equal(archive_read_open_fd(ar, out, 10240), ARCHIVE_OK);
	while (archive_read_next_header(ar, &entry) == ARCHIVE_OK) {
		assert_true(archive_entry_uid(entry) == 7 || archive_entry_uid(entry) == 0);
		describe(&b, ar, entry);
	}
	assert_int_equal(buf_append(&b, "", 1), 0);
	assert_string_equal((const char *)buf_bytes(&b), want);
	(void)archive_read_free(ar);
	buf_done(&b);
	(void)close(out);
}

static void expect_refused(const struct layers *layers, enum error_code code, const char *words)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	struct stat st;
	struct error err;

	assert_true(run(layers, 1 << 24, out, &err) < 0);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, words))
		fail_msg("'%s' is not in '%s'", words, err.msg);
	/* Nothing is written of an image that something is wrong with. */
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, 0);
	(void)close(out);
}

/* --- what layers do --- */

static void layers_lie_one_over_the_other(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "etc", NULL, 0700 },      { 'f', "etc/a", "old", 0 },
				    { 'f', "etc/b", "kept", 04755 }, { 'l', "etc/l", "b", 0 },
				    { 'c', "null", NULL, 0 },        { 0 } };
	const struct item two[] = { { 'd', "./etc/", NULL, 0 },
				    { 'f', "./etc/a", "new", 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_GZIP);
	add_layer(&layers, two, ARCHIVE_FILTER_ZSTD);
	expect(&layers, "etc/b 4755 'kept' user.of=etc/b\netc/l -> b\nnull 600 1:3\n"
			"etc/ 755\netc/a 644 'new' user.of=./etc/a\n");
}

static void whiteouts_hide_what_is_older_only(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "d", NULL, 0 },     { 'f', "d/x", "1", 0 },
				    { 'f', "d/y", "1", 0 },    { 'd', "o", NULL, 0 },
				    { 'd', "o/sub", NULL, 0 }, { 'f', "o/sub/old", "1", 0 },
				    { 'f', "o/old", "1", 0 },  { 'd', "gone", NULL, 0 },
				    { 'f', "gone/x", "1", 0 }, { 0 } };
	const struct item two[] = { { 'f', "d/.wh.x", "", 0 },
				    { 'f', "o/sub/new", "2", 0 },
				    { 'f', "o/.wh..wh..opq", "", 0 },
				    { 'f', "o/new", "2", 0 },
				    { 'f', ".wh.gone", "", 0 },
				    { 'f', ".wh.never-there", "", 0 },
				    { 'f', "y", "2", 0 },
				    { 'f', ".wh.y", "", 0 },
				    { 'f', "d/.wh..wh.plnk", "", 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	expect(&layers, "d/ 755\nd/y 644 '1' user.of=d/y\no/ 755\no/sub/ 755\n"
			"o/sub/new 644 '2' user.of=o/sub/new\no/new 644 '2' user.of=o/new\n"
			"y 644 '2' user.of=y\n");
}

static void what_was_hidden_can_come_back(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = {
		{ 'd', "d", NULL, 0 }, { 'f', "d/x", "1", 0 }, { 'f', "d/y", "1", 0 }, { 0 }
	};
	const struct item two[] = { { 'f', ".wh.d", "", 0 }, { 0 } };
	const struct item three[] = { { 'f', "d/x", "3", 0 }, { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	add_layer(&layers, three, ARCHIVE_FILTER_NONE);
	/* The folder of the third layer is nobody's: plain, and described first. */
	expect(&layers, "d/ 755\nd/x 644 '3' user.of=d/x\n");
}

static void a_kind_replaces_another(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "a", NULL, 0 },
				    { 'f', "a/x", "1", 0 },
				    { 'f', "b", "1", 0 },
				    { 'l', "c", "a", 0 },
				    { 0 } };
	const struct item two[] = { { 'f', "a", "2", 0 },
				    { 'd', "b", NULL, 0 },
				    { 'f', "b/y", "2", 0 },
				    { 'd', "c", NULL, 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	expect(&layers, "a 644 '2' user.of=a\nb/ 755\nb/y 644 '2' user.of=b/y\nc/ 755\n");
}

static void hard_links_keep_what_they_linked(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'f', "t", "one", 0 }, { 'h', "same", "t", 0 }, { 0 } };
	/* To an older layer; then the target changes, and goes. */
	const struct item two[] = { { 'h', "across", "t", 0 }, { 'h', "abs", "/same", 0 }, { 0 } };
	const struct item three[] = {
		{ 'f', "t", "three", 0 }, { 'h', "new", "t", 0 }, { 'f', ".wh.same", "", 0 }, { 0 }
	};

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	add_layer(&layers, three, ARCHIVE_FILTER_NONE);
	expect(&layers,
	       "across 644 'one' user.of=t\nabs = across\nt 644 'three' user.of=t\nnew = t\n");
}

static void the_last_of_one_name_counts(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'f', "a", "first", 0 },
				    { 'f', "a", "second", 0 },
				    { 'h', "b", "a", 0 },
				    { 'f', "a", "third", 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	expect(&layers, "b 644 'second' user.of=a\na 644 'third' user.of=a\n");
}

static void links_on_the_way_are_followed_inside(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "usr", NULL, 0 },
				    { 'd', "usr/lib", NULL, 0 },
				    { 'f', "usr/lib/x", "old", 0 },
				    { 'l', "lib", "usr/lib", 0 },
				    { 'l', "out", "../../../..", 0 },
				    { 'l', "abs", "/usr", 0 },
				    { 0 } };
	const struct item two[] = { { 'f', "lib/x", "new", 0 },
				    { 'f', "out/etc-passwd", "in", 0 },
				    { 'f', "abs/lib/y", "y", 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	expect(&layers,
	       "usr/ 755\nusr/lib/ 755\nlib -> usr/lib\nout -> ../../../..\nabs -> /usr\n"
	       "usr/lib/x 644 'new' user.of=lib/x\netc-passwd 644 'in' user.of=out/etc-passwd\n"
	       "usr/lib/y 644 'y' user.of=abs/lib/y\n");
}

static void names_of_every_kind_stay(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'f', "new\nline", "1", 0 },
				    { 'f', "\xc3\xbcmlaut", "2", 0 },
				    { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	expect(&layers, "new\nline 644 '1' user.of=new\nline\n"
			"\xc3\xbcmlaut 644 '2' user.of=\xc3\xbcmlaut\n");
}

/* --- what is refused --- */

static void hostile_members_are_refused(void **state)
{
	static const struct {
		struct item item;
		const char *words;
	} cases[] = {
		{ { 'f', "../evil", "x", 0 }, "'../evil': '..' in a name" },
		{ { 'f', "a/../../evil", "x", 0 }, "'..' in a name" },
		{ { 'f', "/etc/passwd", "x", 0 }, "an absolute name" },
		{ { 'h', "a", "../../etc/passwd", 0 }, "'..' in a name" },
		{ { 'h', "a", "nothing", 0 }, "a hard link to what is not there" },
		{ { 'h', "a", "dir", 0 }, "a hard link to a folder" },
		{ { 'f', "file/below", "x", 0 }, "a part of the way is no folder" },
		{ { 'f', "loop/x", "x", 0 }, "too many symbolic links" },
		{ { 'f', "dir/.wh.", "x", 0 }, "a whiteout of nothing" },
		{ { 'f', "dir/.wh...", "x", 0 }, "a whiteout of nothing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct layers layers CLEANUP(layers_done) = { .n = 0 };
		const struct item good[] = { { 'd', "dir", NULL, 0 },
					     { 'f', "file", "1", 0 },
					     { 'l', "loop", "loop", 0 },
					     { 0 } };
		const struct item bad[] = { { 'd', "ok", NULL, 0 }, cases[i].item, { 0 } };

		add_layer(&layers, good, ARCHIVE_FILTER_NONE);
		add_layer(&layers, bad, ARCHIVE_FILTER_GZIP);
		expect_refused(&layers, ERR_INVALID, cases[i].words);
		expect_refused(&layers, ERR_INVALID, "layer 2 of 2");
	}
}

static void long_names_are_refused(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	char name[400];
	const struct item bad[] = { { 'f', name, "x", 0 }, { 0 } };

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	add_layer(&layers, bad, ARCHIVE_FILTER_NONE);
	expect_refused(&layers, ERR_INVALID, "too long");
}

static void truncated_layers_are_refused(void **state)
{
	static const int filters[] = { ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
				       ARCHIVE_FILTER_ZSTD };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		struct layers layers CLEANUP(layers_done) = { .n = 0 };
		char text[3000];
		const struct item one[] = { { 'f', "a", text, 0 }, { 0 } };
		struct stat st;

		for (size_t k = 0; k < sizeof(text); k++)
			text[k] = (char)('a' + k * k * 7 % 26);
		text[sizeof(text) - 1] = '\0';
		add_layer(&layers, one, filters[i]);
		assert_int_equal(fstat(layers.fds[0], &st), 0);
		/* Less than the content needs, also where the end of the archive is long. */
		assert_int_equal(ftruncate(layers.fds[0], filters[i] == ARCHIVE_FILTER_NONE
								  ? 2500
								  : st.st_size / 2),
				 0);
		expect_refused(&layers, ERR_INVALID, "layer 1 of 1: damaged");
	}
}

static void an_archive_may_lack_its_end(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "d", NULL, 0 }, { 0 } };

	(void)state;
	add_layer(&layers, one, ARCHIVE_FILTER_NONE);
	assert_int_equal(ftruncate(layers.fds[0], 512), 0);
	expect(&layers, "d/ 755\n");
}

static void no_archive_is_refused(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .fds = { memfd_create("x", MFD_CLOEXEC) },
						      .n = 1 };
	char text[2048];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(write_all(layers.fds[0], text, sizeof(text)), 0);
	expect_refused(&layers, ERR_INVALID, "layer 1 of 1: damaged");
}

static void a_damaged_header_is_told(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item two[] = {
		{ 'f', "a", "1", 0 }, { 'f', "b", "2", 0 }, { 'f', "c", "3", 0 }, { 0 }
	};
	char garbage[512];
	off_t second;

	(void)state;
	add_layer(&layers, two, ARCHIVE_FILTER_NONE);
	/* A third of the archive is a member, with its extended header. */
	second = (lseek(layers.fds[0], 0, SEEK_END) - 1024) / 3;
	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(pwrite(layers.fds[0], garbage, sizeof(garbage), second), sizeof(garbage));
	expect_refused(&layers, ERR_INVALID, "layer 1 of 1: damaged");
}

static void an_empty_layer_changes_nothing(void **state)
{
	/* What gzip makes of nothing. */
	static const uint8_t packed[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
					  3,    0,    0, 0, 0, 0, 0, 0, 0, 0 };
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	const struct item one[] = { { 'd', "d", NULL, 0 }, { 0 } };

	(void)state;
	layers.fds[layers.n] = memfd_create("empty", MFD_CLOEXEC);
	assert_int_equal(write_all(layers.fds[layers.n++], packed, sizeof(packed)), 0);
	layers.fds[layers.n++] = memfd_create("nothing", MFD_CLOEXEC);
	add_layer(&layers, one, ARCHIVE_FILTER_GZIP);
	expect(&layers, "d/ 755\n");
}

/* sqfstar takes a time from 2038 on with a fraction only. */
static void late_times_have_a_fraction(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .fds = { memfd_create("x", MFD_CLOEXEC) },
						      .n = 1 };
	struct archive *ar = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	int out = memfd_create("out", MFD_CLOEXEC);
	char text[4096] = "";
	struct error err;

	(void)state;
	assert_int_equal(archive_write_set_format_pax(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_open(ar, &layers.fds[0], NULL, on_write, NULL), ARCHIVE_OK);
	archive_entry_set_pathname(entry, "late");
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_size(entry, 0);
	archive_entry_set_mtime(entry, 1LL << 60, 0);
	assert_int_equal(archive_write_header(ar, entry), ARCHIVE_OK);
	archive_entry_free(entry);
	assert_int_equal(archive_write_free(ar), ARCHIVE_OK);
	assert_int_equal(run(&layers, 1 << 24, out, &err), 0);
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(memmem(text, sizeof(text), "mtime=4294967295.", 17));
	(void)close(out);
}

static void garbage_that_begins_like_gzip_is_refused(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .fds = { memfd_create("x", MFD_CLOEXEC) },
						      .n = 1 };
	static const char text[] = "\x1f\x8b no header of a gzip file";

	(void)state;
	assert_int_equal(write_all(layers.fds[0], text, sizeof(text)), 0);
	expect_refused(&layers, ERR_INVALID, "layer 1 of 1: damaged");
}

static void bombs_are_refused(void **state)
{
	struct layers small CLEANUP(layers_done) = { .n = 0 };
	struct layers large CLEANUP(layers_done) = { .n = 0 };
	autofree char *zeros = malloc(20 << 20);
	const struct item one[] = { { 'f', "zeros", zeros, 0 }, { 0 } };

	(void)state;
	assert_non_null(zeros);
	memset(zeros, '0', (20 << 20) - 1);
	zeros[(20 << 20) - 1] = '\0';
	/* More than 50 times its size, and past the first MiB. */
	add_layer(&small, one, ARCHIVE_FILTER_GZIP);
	expect_refused(&small, ERR_TOO_LARGE, "when unpacked");
	/* Larger than all of them may be, at any ratio. */
	add_layer(&large, one, ARCHIVE_FILTER_NONE);
	expect_refused(&large, ERR_TOO_LARGE, "larger than 16 MiB");
}

/* As "tar -S" writes it: nothing of it is in the layer. */
static void holes_count_as_what_they_become(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	struct archive *ar = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	int fd = memfd_create("sparse", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(archive_write_set_format_pax(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_set_bytes_per_block(ar, 0), ARCHIVE_OK);
	assert_int_equal(archive_write_open(ar, &fd, NULL, on_write, NULL), ARCHIVE_OK);
	archive_entry_set_pathname(entry, "hole");
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_size(entry, 1LL << 50);
	archive_entry_sparse_add_entry(entry, 0, 4);
	assert_int_equal(archive_write_header(ar, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(ar, "data", 4), 4);
	archive_entry_free(entry);
	assert_int_equal(archive_write_free(ar), ARCHIVE_OK);
	layers.fds[layers.n++] = fd;
	expect_refused(&layers, ERR_TOO_LARGE,
		       "'hole': the image is larger than 16 MiB when unpacked: a file of");
}

static void what_is_compressed_twice_is_no_layer(void **state)
{
	struct layers layers CLEANUP(layers_done) = { .n = 0 };
	struct archive *ar = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	int fd = memfd_create("twice", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(archive_write_set_format_raw(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter_gzip(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter_gzip(ar), ARCHIVE_OK);
	assert_int_equal(archive_write_open(ar, &fd, NULL, on_write, NULL), ARCHIVE_OK);
	archive_entry_set_pathname(entry, "x");
	archive_entry_set_mode(entry, S_IFREG | 0644);
	assert_int_equal(archive_write_header(ar, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(ar, "hello", 5), 5);
	assert_int_equal(archive_write_free(ar), ARCHIVE_OK);
	archive_entry_free(entry);
	layers.fds[layers.n++] = fd;
	expect_refused(&layers, ERR_INVALID, "layer 1 of 1");
}

static void many_names_have_a_limit(void **state)
{
	struct tree tree;
	struct error err = ERROR_INIT;
	int r = 0;

	(void)state;
	assert_int_equal(tree_init(&tree), 0);
	for (uint32_t i = 0; i <= TREE_NODES_MAX && r == 0; i++) {
		char name[32];
		const struct tree_member m = {
			.path = name, .type = S_IFREG, .layer = 0, .ordinal = i
		};

		(void)snprintf(name, sizeof(name), "d%u/%u", i % 100, i);
		r = tree_apply(&tree, &m, &err);
	}
	assert_true(r < 0);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	assert_non_null(strstr(err.msg, "more than 1000000 names"));
	tree_done(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers_lie_one_over_the_other),
		cmocka_unit_test(whiteouts_hide_what_is_older_only),
		cmocka_unit_test(what_was_hidden_can_come_back),
		cmocka_unit_test(a_kind_replaces_another),
		cmocka_unit_test(hard_links_keep_what_they_linked),
		cmocka_unit_test(the_last_of_one_name_counts),
		cmocka_unit_test(links_on_the_way_are_followed_inside),
		cmocka_unit_test(names_of_every_kind_stay),
		cmocka_unit_test(hostile_members_are_refused),
		cmocka_unit_test(long_names_are_refused),
		cmocka_unit_test(truncated_layers_are_refused),
		cmocka_unit_test(an_archive_may_lack_its_end),
		cmocka_unit_test(no_archive_is_refused),
		cmocka_unit_test(a_damaged_header_is_told),
		cmocka_unit_test(an_empty_layer_changes_nothing),
		cmocka_unit_test(late_times_have_a_fraction),
		cmocka_unit_test(garbage_that_begins_like_gzip_is_refused),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(holes_count_as_what_they_become),
		cmocka_unit_test(what_is_compressed_twice_is_no_layer),
		cmocka_unit_test(many_names_have_a_limit),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
