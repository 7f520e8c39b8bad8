/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the store that are lost or damaged, made again from where they came. The id is a hash
 * over the content, so it is known whether the same thing has come of it; publication puts it in
 * the place of what is not whole. A lock on the entry's folder makes it the work of one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/image/image.h"
#include "server/image/store.h"

struct mending {
	const struct image_paths *paths;
	const struct registry_settings *settings;
	const struct made_from *from;
	struct op *op;
	char made[STORE_ID_SIZE]; /* what has come of it */
};

typedef int maker_fn(struct mending *m, struct error *err);

static int take_image(struct mending *m, struct image_info *info, int r)
{
	if (r == 0)
		(void)snprintf(m->made, sizeof(m->made), "%s", info->id);
	image_info_done(info);
	return r;
}

static int pull(struct mending *m, struct error *err)
{
	struct image_info info = { .config = NULL };

	return take_image(m, &info,
			  image_pull(m->paths, m->settings, m->from->what, m->op, &info, err));
}

static int import(struct mending *m, struct error *err)
{
	struct image_info info = { .config = NULL };

	return take_image(m, &info, image_import(m->paths, m->from->what, m->op, &info, err));
}

static int build_image(struct mending *m, struct error *err)
{
	struct image_info info = { .config = NULL };

	return take_image(m, &info, image_build_mini(m->paths, m->op, &info, err));
}

static int take_kernel(struct mending *m, const struct kernel_info *info, int r)
{
	if (r == 0)
		(void)snprintf(m->made, sizeof(m->made), "%s", info->id);
	return r;
}

static int take_package(struct mending *m, struct error *err)
{
	struct kernel_info info = { .name = "" };
	bool cloud = streq(m->from->what, "debian-cloud");

	return take_kernel(m, &info,
			   cloud ? kernel_import_debian_cloud(m->paths, m->op, &info, err)
				 : kernel_import_debian(m->paths, m->op, &info, err));
}

static int build_kernel(struct mending *m, struct error *err)
{
	struct kernel_info info = { .name = "" };

	return take_kernel(m, &info, kernel_build(m->paths, m->op, &info, err));
}

static int take_file(struct mending *m, struct error *err)
{
	struct kernel_info info = { .name = "" };

	return take_kernel(m, &info,
			   kernel_import_file(m->paths, m->from->what,
					      m->from->more[0] ? m->from->more : NULL, m->op, &info,
					      err));
}

static int download(struct mending *m, struct error *err)
{
	struct kernel_info info = { .name = "" };

	return take_kernel(m, &info,
			   kernel_import_url(m->paths, m->settings, m->from->what, m->from->more,
					     m->op, &info, err));
}

static int pull_kernel(struct mending *m, struct error *err)
{
	struct kernel_info info = { .name = "" };

	return take_kernel(m, &info,
			   kernel_pull(m->paths, m->settings, m->from->what, m->op, &info, err));
}

struct maker {
	const char *how;
	maker_fn *make;
};

static const struct maker image_makers[] = {
	{ "pull", pull },
	{ "import", import },
	{ "build", build_image },
};

static const struct maker kernel_makers[] = {
	{ "package", take_package }, { "build", build_kernel },   { "file", take_file },
	{ "url", download },         { "artifact", pull_kernel },
};

/* Runs the maker, and holds what has come of it against the id. */
static int make(struct mending *m, const struct maker *makers, size_t n, const char *id,
		struct error *err)
{
	maker_fn *maker = NULL;
	int r;

	for (size_t i = 0; i < n; i++)
		if (streq(makers[i].how, m->from->how))
			maker = makers[i].make;
	if (!maker)
		return error_set(err, ERR_STATE, "nothing says how it was made");
	r = maker(m, err);
	if (r < 0)
		return r;
	return streq(m->made, id)
		       ? 0
		       : error_set(err, ERR_STATE, "what %s gives now is another one, %.19s",
				   m->from->what, m->made);
}

/* Whoever is first works; the others find it done. */
static int lock(const char *parent, const char *id, struct op *op, int *ret_fd, struct error *err)
{
	autoclose int fd = -1;
	int r = entry_open(parent, id, &fd, err);

	if (r == 0)
		r = op_lock_file(op, fd, err);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

/* The one that is left may do, where it is only damaged: nobody is worse off than before. */
static int settle(int r, bool usable, const char *what, const char *id, struct error *err)
{
	if (r == 0) {
		log_info("%s %s was not whole, and is made again", what, id);
		return 0;
	}
	if (!usable || err->code == ERR_CANCELLED)
		return error_wrap(err, "the files of %s %.19s… are lost and can't be made again",
				  what, id);
	log_warn("%s %s is damaged, and used as it is: %s", what, id, err->msg);
	*err = ERROR_INIT;
	return 0;
}

static bool has(char *path)
{
	bool there = path && access(path, R_OK) == 0;

	free(path);
	return there;
}

int image_mend(const struct image_paths *paths, const struct registry_settings *settings,
	       const char *image_id, struct op *op, struct error *err)
{
	struct image_info info CLEANUP(image_info_done) = { .config = NULL };
	struct mending m = { .paths = paths, .settings = settings, .from = &info.from, .op = op };
	autoclose int held = -1;
	int r;

	if (image_whole(paths, image_id))
		return 0;
	op_stage(op, "mend");
	r = lock(paths->images, image_id, op, &held, err);
	if (r < 0 || image_whole(paths, image_id))
		return r;
	r = image_load(paths, image_id, &info, err);
	if (r == 0)
		r = make(&m, image_makers, ARRAY_SIZE(image_makers), image_id, err);
	return settle(r, has(image_rootfs_path(paths, image_id)), "image", image_id, err);
}

int kernel_mend(const struct image_paths *paths, const struct registry_settings *settings,
		const char *kernel_id, struct op *op, struct error *err)
{
	struct kernel_info info = { .name = "" };
	struct mending m = { .paths = paths, .settings = settings, .from = &info.from, .op = op };
	autoclose int held = -1;
	int r;

	if (kernel_whole(paths, kernel_id))
		return 0;
	op_stage(op, "mend");
	r = lock(paths->kernels, kernel_id, op, &held, err);
	if (r < 0 || kernel_whole(paths, kernel_id))
		return r;
	r = kernel_load(paths, kernel_id, &info, err);
	if (r == 0)
		r = make(&m, kernel_makers, ARRAY_SIZE(kernel_makers), kernel_id, err);
	return settle(r, has(kernel_vmlinux_path(paths, kernel_id)), "kernel", kernel_id, err);
}
