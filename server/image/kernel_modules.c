/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_modules.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/inflate.h"

#define ALL_MODULES "modules.all"

enum { LIST_MAX = 64 * 1024, BUILTIN_MAX = 4 << 20 };

int kernel_modules_init(struct kernel_modules *m, struct staging *staging, struct error *err)
{
	*m = (struct kernel_modules){ .staging = staging };
	m->all_fd = open_subdir(staging->fd, ALL_MODULES, 0700);
	return m->all_fd < 0 ? error_errno(err, m->all_fd, "make " ALL_MODULES) : 0;
}

void kernel_modules_done(struct kernel_modules *m)
{
	module_set_done(&m->set);
	close_keep_errno(m->all_fd);
}

int kernel_modules_add(struct kernel_modules *m, const char *path, const void *data, size_t len,
		       struct error *err)
{
	char name[MODULE_NAME_MAX];
	char file[MODULE_NAME_MAX + 4];
	int r = module_set_add(&m->set, path, data, len, err);

	if (r < 0)
		return r;
	if (module_name(path, name) < 0)
		return error_set(err, ERR_INVALID, "not a kernel module");
	(void)snprintf(file, sizeof(file), "%s.ko", name);
	r = write_new_file(m->all_fd, file, data, len);
	return r < 0 ? error_errno(err, r, "write %s", file) : 0;
}

/* Moves the chosen modules to modules/ and writes modules/list, one file name a line in load order.
 */
static int move(struct kernel_modules *m, const char **names, size_t n, json_t *list,
		struct error *err)
{
	autoclose int dir = open_subdir(m->staging->fd, "modules", 0700);
	struct buf text CLEANUP(buf_done) = { 0 };
	int r = dir < 0 ? dir : 0;

	buf_init(&text, LIST_MAX);
	for (size_t i = 0; i < n && r == 0; i++) {
		char file[MODULE_NAME_MAX + 4];

		(void)snprintf(file, sizeof(file), "%s.ko", names[i]);
		if (renameat(m->all_fd, file, dir, file) < 0)
			r = -errno;
		if (r == 0)
			r = buf_printf(&text, "%s\n", file);
		if (r == 0 && json_array_append_new(list, json_string(names[i])) < 0)
			r = -ENOMEM;
	}
	if (r == 0)
		r = write_new_file(dir, "list", buf_bytes(&text), buf_len(&text));
	if (r == 0)
		r = remove_tree_at(m->staging->fd, ALL_MODULES);
	return r < 0 ? error_errno(err, r, "keep modules") : 0;
}

int kernel_modules_keep(struct kernel_modules *m, const char *builtin, json_t *list,
			struct error *err)
{
	autofree const char **names = NULL;
	size_t n = 0;
	int r;

	module_set_sort(&m->set);
	r = modules_resolve(&m->set, builtin, &names, &n, err);
	return r < 0 ? r : move(m, names, n, list, err);
}

/* --- from a folder --- */

static int add_file(struct kernel_modules *m, const struct unpacker *u, const char *path,
		    struct error *err)
{
	autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const struct inflate what = {
		.fd = fd, .len = INT64_MAX, .out_len = UINT64_MAX, .out_max = KERNEL_MODULE_MAX
	};
	struct buf plain CLEANUP(buf_done) = { 0 };
	int r;

	buf_init(&plain, KERNEL_MODULE_MAX);
	r = fd < 0 ? error_errno(err, -errno, "open it")
		   : inflate(u, &what, inflate_to_buf, &plain, err);
	if (r == 0)
		r = kernel_modules_add(m, path, plain.data, buf_len(&plain), err);
	return r < 0 ? error_wrap(err, "%.200s", path) : 0;
}

static int walk(struct kernel_modules *m, const struct unpacker *u, const char *path,
		struct error *err)
{
	autofree char *copy = strdup(path);
	char *const roots[] = { copy, NULL };
	uint64_t n = 0;
	const FTSENT *e;
	int r = 0;
	FTS *fts;

	fts = copy ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	if (!fts)
		return error_errno(err, -ENOMEM, "read %s", path);
	while (r == 0 && (e = fts_read(fts)) != NULL) {
		char name[MODULE_NAME_MAX];

		r = op_check(u->op, err);
		if (r == 0 &&
		    (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS))
			r = error_set(err, ERR_INVALID, "read %.200s: %s", e->fts_path,
				      strerrordesc_np(e->fts_errno));
		if (r < 0 || e->fts_info != FTS_F || module_name(e->fts_path, name) < 0)
			continue;
		r = add_file(m, u, e->fts_path, err);
		op_progress(u->op, ++n, 0, "modules");
	}
	(void)fts_close(fts);
	return r;
}

int kernel_modules_take(struct staging *staging, const struct unpacker *u, const char *path,
			const char *builtin, json_t *list, struct error *err)
{
	struct kernel_modules m CLEANUP(kernel_modules_done) = { .all_fd = -1 };
	autofree char *file = path ? path_join(path, "modules.builtin") : NULL;
	autofree char *listed = NULL;
	autofree char *all = NULL;
	int r = kernel_modules_init(&m, staging, err);

	if (r == 0 && path)
		r = walk(&m, u, path, err);
	if (r < 0)
		return r;
	if (file && read_file(file, BUILTIN_MAX, &listed, NULL) < 0)
		listed = NULL;
	if (asprintf(&all, "%s%s", builtin, listed ? listed : "") < 0) {
		all = NULL;
		return error_errno(err, -ENOMEM, "modules");
	}
	return kernel_modules_keep(&m, all, list, err);
}
