/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/unpack/layer.h"
#include "server/unpack/tree.h"

enum { BLOCK = 64 * 1024, XATTR_MAX = 64 * 1024, XATTRS_MAX = 200 };

struct run {
	const struct unpack *u;
	struct tree tree;
	struct archive *out;
	uint64_t counted; /* compressed bytes read */
	uint64_t total;   /* decompressed bytes of this pass */
	uint64_t content; /* bytes of files, holes included */
	time_t newest;    /* of all times of members */
	uint32_t inode;   /* next one to be met by the second pass */
	char *zeros;
	uint64_t all; /* compressed bytes that there are to read, both passes */
	bool discard; /* what is still written goes nowhere */
	int write_errno;
};

static void run_done(struct run *run)
{
	tree_done(&run->tree);
	/* Freeing ends the archive, which a stream that has failed must not have. */
	run->discard = true;
	if (run->out)
		(void)archive_write_free(run->out);
	free(run->zeros);
}

static void entry_p(struct archive_entry **entry)
{
	archive_entry_free(*entry);
}

static int wrap_member(struct archive_entry *entry, struct error *err)
{
	const char *path = archive_entry_pathname(entry);

	return error_wrap(err, "'%.200s'", path ? path : "");
}

/* Of a member, within the seconds since 1970 that a squashfs can hold. */
static time_t time_of(struct archive_entry *entry)
{
	time_t t = archive_entry_mtime(entry);

	if (t < 0)
		return 0;
	return t > (time_t)UINT32_MAX ? (time_t)UINT32_MAX : t;
}

/* --- first pass: names --- */

/* Holes come out of nothing, and each is written as zeros. */
static int count_content(struct run *run, struct archive_entry *entry, struct error *err)
{
	int64_t size = archive_entry_size(entry);

	if (size > 0 && (__builtin_add_overflow(run->content, (uint64_t)size, &run->content) ||
			 run->content > run->u->bytes_max))
		return error_set(
			err, ERR_TOO_LARGE,
			"the image is larger than %llu MiB when unpacked: a file of %lld bytes",
			(unsigned long long)run->u->bytes_max >> 20, (long long)size);
	return 0;
}

static int take_member(struct run *run, const struct layer *layer, struct archive_entry *entry,
		       uint32_t ordinal, struct error *err)
{
	const char *hard = archive_entry_hardlink(entry);
	int r;
	const char *path = archive_entry_pathname(entry);
	struct tree_member m = { .path = path,
				 .target = hard ? hard : archive_entry_symlink(entry),
				 .type = archive_entry_filetype(entry),
				 .hard_link = hard != NULL,
				 .layer = (uint16_t)layer->index,
				 .ordinal = ordinal };

	if (!path)
		return error_set(err, ERR_INVALID, "a member without a name");
	if (time_of(entry) > run->newest)
		run->newest = time_of(entry);
	if (!hard && !S_ISREG(m.type) && !S_ISDIR(m.type) && !S_ISLNK(m.type) && !S_ISCHR(m.type) &&
	    !S_ISBLK(m.type) && !S_ISFIFO(m.type))
		return error_set(err, ERR_INVALID, "a member of unknown type");
	r = hard ? 0 : count_content(run, entry, err);
	return r < 0 ? wrap_member(entry, err) : tree_apply(&run->tree, &m, err);
}

static int scan_layer(struct run *run, struct layer *layer, struct error *err)
{
	struct archive_entry *entry;
	uint32_t ordinal = 0;
	int r;

	while ((r = layer_next(layer, &entry, err)) > 0) {
		const void *data;
		int64_t offset;
		size_t len;

		r = take_member(run, layer, entry, ordinal++, err);
		if (r < 0)
			return layer_wrap(layer, err);
		do
			r = layer_data(layer, &data, &len, &offset, err);
		while (r > 0);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- second pass: content --- */

static la_ssize_t on_write(struct archive *ar, void *data, const void *bytes, size_t len)
{
	struct run *run = data;
	int r = run->discard ? 0 : write_all(run->u->out_fd, bytes, len);

	if (r < 0) {
		run->write_errno = -r;
		archive_set_error(ar, -r, "%s", strerrordesc_np(-r));
		return -1;
	}
	return (la_ssize_t)len;
}

static int fail_write(const struct run *run, struct error *err)
{
	const char *text = archive_error_string(run->out);

	if (run->write_errno)
		return error_errno(err, -run->write_errno, "write the stream");
	return error_set(err, ERR_INVALID, "write the stream: %s", text ? text : "unknown error");
}

static int open_out(struct run *run, struct error *err)
{
	run->out = archive_write_new();
	run->zeros = calloc(1, BLOCK);
	if (!run->out || !run->zeros)
		return error_errno(err, -ENOMEM, "write the stream");
	if (archive_write_set_format_pax_restricted(run->out) != ARCHIVE_OK ||
	    archive_write_set_options(run->out, "xattrheader=SCHILY") != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(run->out, BLOCK) != ARCHIVE_OK ||
	    /* Who reads goes at the end mark: padding behind it would find nobody. */
	    archive_write_set_bytes_in_last_block(run->out, 1) != ARCHIVE_OK ||
	    archive_write_open(run->out, run, NULL, on_write, NULL) != ARCHIVE_OK)
		return fail_write(run, err);
	return 0;
}

static bool has_xattr(struct archive_entry *entry, const char *name)
{
	const char *there;
	const void *value;
	size_t size;

	(void)archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &there, &value, &size) == ARCHIVE_OK)
		if (streq(there, name))
			return true;
	return false;
}

/* Those that a squashfs can hold, and that say nothing to the guest's own overlay. */
static int copy_xattrs(struct archive_entry *to, struct archive_entry *from, struct error *err)
{
	static const char *const kept[] = { "user.", "trusted.", "security." };
	const char *name;
	const void *value;
	size_t size;

	if (archive_entry_xattr_count(from) > XATTRS_MAX)
		return error_set(err, ERR_TOO_LARGE, "%d extended attributes",
				 archive_entry_xattr_count(from));
	(void)archive_entry_xattr_reset(from);
	while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
		/* Some archives have each of them in two encodings. */
		if (!name || str_has_prefix(name, "trusted.overlay.") || has_xattr(to, name))
			continue;
		if (size > XATTR_MAX || strlen(name) > TREE_NAME_MAX)
			return error_set(err, ERR_TOO_LARGE, "an extended attribute of %zu bytes",
					 size);
		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			if (str_has_prefix(name, kept[i]))
				archive_entry_xattr_add_entry(to, name, value, size);
	}
	return 0;
}

static int make_entry(struct run *run, uint32_t node, struct archive_entry *from,
		      struct archive_entry *to, struct error *err)
{
	char path[TREE_PATH_MAX + 1];
	int64_t uid = archive_entry_uid(from), gid = archive_entry_gid(from);
	int r = tree_path(&run->tree, node, path, err);

	if (r < 0)
		return r;
	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return error_set(err, ERR_INVALID, "an owner of %lld:%lld", (long long)uid,
				 (long long)gid);
	archive_entry_set_pathname(to, path);
	archive_entry_set_mode(to, archive_entry_mode(from));
	archive_entry_set_uid(to, uid);
	archive_entry_set_gid(to, gid);
	/* From 2038 on it stands in an extended header, where sqfstar wants a fraction behind it.
	 */
	archive_entry_set_mtime(to, time_of(from), time_of(from) >= INT32_MAX ? 1 : 0);
	archive_entry_set_size(to,
			       S_ISREG(archive_entry_mode(from)) ? archive_entry_size(from) : 0);
	if (S_ISLNK(archive_entry_mode(from)))
		archive_entry_set_symlink(to, archive_entry_symlink(from));
	if (S_ISCHR(archive_entry_mode(from)) || S_ISBLK(archive_entry_mode(from))) {
		archive_entry_set_rdevmajor(to, archive_entry_rdevmajor(from));
		archive_entry_set_rdevminor(to, archive_entry_rdevminor(from));
	}
	return copy_xattrs(to, from, err);
}

static int put_bytes(struct run *run, const void *data, size_t len, struct error *err)
{
	const char *at = data;

	while (len > 0) {
		la_ssize_t n = archive_write_data(run->out, at, len);

		if (n <= 0)
			return fail_write(run, err);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_zeros(struct run *run, int64_t len, struct error *err)
{
	int r = 0;

	for (; len > 0 && r == 0; len -= BLOCK)
		r = put_bytes(run, run->zeros, len < BLOCK ? (size_t)len : BLOCK, err);
	return r;
}

/* Holes are written as zeros, which the squashfs does not keep. */
static int put_content(struct run *run, struct layer *layer, int64_t size, struct error *err)
{
	int64_t at = 0, offset;
	const void *data;
	size_t len;
	int r;

	while ((r = layer_data(layer, &data, &len, &offset, err)) > 0) {
		if (offset < at || offset > size || (int64_t)len > size - offset)
			return error_set(err, ERR_INVALID, "content that is out of order");
		r = put_zeros(run, offset - at, err);
		if (r == 0)
			r = put_bytes(run, data, len, err);
		if (r < 0)
			return r;
		at = offset + (int64_t)len;
	}
	return r < 0 ? r : put_zeros(run, size - at, err);
}

/* The inode's other names. Only regular files are linked: the rest costs no more as it is. */
static int put_links(struct run *run, uint32_t node, struct archive_entry *entry,
		     const struct tree_inode *inode, struct error *err)
{
	char path[TREE_PATH_MAX + 1];
	int r = tree_path(&run->tree, node, path, err);

	if (r == 0 && inode->is_regular) {
		archive_entry_set_hardlink(entry, path);
		archive_entry_set_size(entry, 0);
		archive_entry_xattr_clear(entry);
	}
	for (node = run->tree.nodes[node].next_same; r == 0 && node != TREE_NONE;
	     node = run->tree.nodes[node].next_same) {
		r = tree_path(&run->tree, node, path, err);
		if (r < 0)
			return r;
		archive_entry_set_pathname(entry, path);
		if (archive_write_header(run->out, entry) < ARCHIVE_WARN)
			return fail_write(run, err);
	}
	return r;
}

static int put_member(struct run *run, struct layer *layer, struct archive_entry *from,
		      const struct tree_inode *inode, struct error *err)
{
	struct archive_entry *to CLEANUP(entry_p)
	= archive_entry_new();
	int r;

	if (!to)
		return error_errno(err, -ENOMEM, "write the stream");
	r = make_entry(run, inode->first, from, to, err);
	if (r < 0)
		return r;
	if (archive_write_header(run->out, to) < ARCHIVE_WARN)
		return fail_write(run, err);
	if (inode->is_regular)
		r = put_content(run, layer, archive_entry_size(to), err);
	return r < 0 ? r : put_links(run, inode->first, to, inode, err);
}

/* Members come in the order of the inodes that the first pass has made of them. */
static int write_layer(struct run *run, struct layer *layer, struct error *err)
{
	struct archive_entry *entry;
	uint32_t ordinal = 0;
	int r;

	while ((r = layer_next(layer, &entry, err)) > 0) {
		const struct tree_inode *inode = &run->tree.inodes[run->inode];

		if (run->inode < run->tree.n_inodes && inode->layer == layer->index &&
		    inode->ordinal == ordinal) {
			run->inode++;
			if (inode->first != TREE_NONE)
				r = put_member(run, layer, entry, inode, err);
			if (r < 0) {
				(void)wrap_member(entry, err);
				return layer_wrap(layer, err);
			}
		}
		ordinal++;
	}
	return r;
}

/* Folders that no member describes. */
static int write_implied(struct run *run, struct error *err)
{
	struct archive_entry *entry CLEANUP(entry_p)
	= archive_entry_new();

	if (!entry)
		return error_errno(err, -ENOMEM, "write the stream");
	archive_entry_set_mode(entry, S_IFDIR | 0755);
	archive_entry_set_mtime(entry, 0, 0);
	for (uint32_t i = 1; i < run->tree.n_nodes; i++) {
		char path[TREE_PATH_MAX + 1];
		int r;

		if (!run->tree.nodes[i].alive || run->tree.nodes[i].inode != TREE_NONE)
			continue;
		r = tree_path(&run->tree, i, path, err);
		if (r < 0)
			return r;
		archive_entry_set_pathname(entry, path);
		if (archive_write_header(run->out, entry) < ARCHIVE_WARN)
			return fail_write(run, err);
	}
	return 0;
}

/* --- both --- */

typedef int layer_fn(struct run *run, struct layer *layer, struct error *err);

static int each_layer(struct run *run, layer_fn *fn, bool writing, struct error *err)
{
	autofree struct layer *layer = malloc(sizeof(*layer));

	if (!layer)
		return error_errno(err, -ENOMEM, "read the layers");
	run->total = 0;
	for (size_t i = 0; i < run->u->n_layers; i++) {
		int r;

		*layer = (struct layer){ .u = run->u,
					 .fd = run->u->layers[i],
					 .index = i,
					 .total = &run->total,
					 .counted = &run->counted,
					 .all = run->all,
					 .writing = writing };
		r = layer_open(layer, err);
		if (r == 0)
			r = fn(run, layer, err);
		layer_close(layer);
		if (r < 0)
			return r;
	}
	return 0;
}

int unpack_run(const struct unpack *u, struct error *err)
{
	struct run run CLEANUP(run_done) = { .u = u };
	int r = tree_init(&run.tree);

	if (r < 0)
		return error_errno(err, r, "read the layers");
	if (u->n_layers > UNPACK_LAYERS_MAX)
		return error_set(err, ERR_TOO_LARGE, "%zu layers; at most %d are read", u->n_layers,
				 UNPACK_LAYERS_MAX);
	for (size_t i = 0; i < u->n_layers; i++) {
		struct stat st;

		if (fstat(u->layers[i], &st) < 0)
			return error_errno(err, -errno, "layer %zu", i + 1);
		run.all += 2 * (uint64_t)st.st_size;
	}
	r = each_layer(&run, scan_layer, false, err);
	if (r < 0)
		return r;
	tree_link(&run.tree);
	if (u->scanned)
		u->scanned(u->data, (uint64_t)run.newest);
	r = open_out(&run, err);
	if (r == 0)
		r = write_implied(&run, err);
	if (r == 0)
		r = each_layer(&run, write_layer, true, err);
	/* Who reads has all of it when it goes at the end mark, and else says itself what it lacks.
	 */
	if (r == 0 && archive_write_close(run.out) != ARCHIVE_OK && run.write_errno != EPIPE)
		r = fail_write(&run, err);
	return r;
}
