/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project's own guest kernel, made on this host of Debian's package of kernel sources and our
 * small configuration.
 *
 * All of it happens in one folder of the cache, named by a hash over everything that the result
 * depends on: configuration, package, compiler. Each step that is done leaves a mark there, and the
 * compiler's output stays, so a build that was cancelled or broken off is gone on with. Two who
 * want the same kernel take turns at the folder's lock; the second one finds the first one's
 * kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/kernel_build_internal.h"
#include "server/image/kernel_config.h"
#include "server/image/known.h"
#include "server/image/manifest.h"
#include "server/image/task.h"

#define FORMAT       "banger-kernel-1"
#define KNOWN_FOLDER "built"

/* What it costs no guest anything to be told and saves time at every start. */
#define CMDLINE "random.trust_cpu=on"

enum { CONFIG_MAX = 1 << 20 };

/* Sources and objects together, with room to spare. */
static const uint64_t room_bytes = 2500ULL << 20;

static const struct {
	const char *program; /* or a header's path */
	const char *package;
} tools[] = {
	{ "gcc", "gcc" },        { "make", "make" },
	{ "flex", "flex" },      { "bison", "bison" },
	{ "bc", "bc" },          { "strip", "binutils" },
	{ "tar", "tar" },        { "xz", "xz-utils" },
	{ "nice", "coreutils" }, { "/usr/include/gelf.h", "libelf-dev" },
};

#define BUILD_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const char *const build_env[] = { BUILD_PATH,
				  "LANG=C.UTF-8",
				  "HOME=/nonexistent",
				  "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
				  "KBUILD_BUILD_USER=banger",
				  "KBUILD_BUILD_HOST=banger",
				  "KBUILD_BUILD_VERSION=1",
				  NULL };

static void build_done(struct build *b)
{
	close_keep_errno(b->lock);
	close_keep_errno(b->dir);
	free(b->folder);
}

/* --- what the result depends on --- */

static int check_tools(struct error *err)
{
	char missing[200] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		autofree char *path = tools[i].program[0] == '/'
					      ? strdup(tools[i].program)
					      : proc_find_program(tools[i].program);

		if (path && access(path, R_OK) == 0)
			continue;
		used += (size_t)snprintf(missing + used, sizeof(missing) - used, " %s",
					 tools[i].package);
	}
	return used ? error_set(err, ERR_UNSUPPORTED,
				"a kernel is built with programs that are missing; on Debian: "
				"apt-get install --no-install-recommends%s",
				missing)
		    : 0;
}

static int compiler_version(struct op *op, char **ret_text, struct error *err)
{
	struct proc_result result CLEANUP(proc_result_done) = { 0 };
	autofree char *gcc = proc_find_program("gcc");
	const char *argv[] = { gcc, "--version", NULL };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	int r;

	if (!gcc)
		return error_set(err, ERR_UNSUPPORTED, "gcc is missing");
	spec.argv = argv;
	run.cancel_fd = op_cancel_fd(op);
	r = proc_run(&spec, &run, &result, err);
	if (r == 0)
		*ret_text = TAKE_PTR(result.out);
	return r;
}

int kernel_build_key(const char *config, const char *package, const char *version,
		     const char *compiler, struct digest *ret_key)
{
	const char *const parts[] = { FORMAT, config, package, version, compiler };
	struct digest_stream stream CLEANUP(digest_abandon) = DIGEST_STREAM_INIT;
	int r = digest_start(&stream);

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = digest_update(&stream, parts[i], strlen(parts[i]) + 1);
	return r < 0 ? r : digest_finish(&stream, ret_key);
}

static int resolve(struct build *b, struct error *err)
{
	autofree char *compiler = NULL;
	char name[128];
	int r;

	op_stage(b->op, "resolve");
	r = check_tools(err);
	if (r == 0)
		r = apt_dependency("linux-source", "linux-source-", name, sizeof(name), b->op, err);
	if (r == 0)
		r = apt_resolve(name, &b->package, b->op, err);
	if (r == 0)
		r = compiler_version(b->op, &compiler, err);
	if (r < 0)
		return r;
	r = kernel_build_key(kernel_config_text(), b->package.name, b->package.version, compiler,
			     &b->key);
	return r < 0 ? error_errno(err, r, "hash of the configuration") : 0;
}

/* --- the folder --- */

static int take_lock(struct build *b, struct error *err)
{
	b->lock = open_regular_beneath(b->dir, KERNEL_BUILD_LOCK, O_RDWR | O_CREAT, 0600);
	if (b->lock < 0)
		return error_errno(err, b->lock, "open %s/" KERNEL_BUILD_LOCK, b->folder);
	return op_lock_file(b->op, b->lock, err);
}

static int open_folder(struct build *b, struct error *err)
{
	struct statvfs fs;

	if (asprintf(&b->folder, "%s/" KERNEL_BUILD_FOLDER "/%.16s", b->paths->cache, b->key.hex) <
	    0) {
		b->folder = NULL;
		return error_errno(err, -ENOMEM, "build");
	}
	/* make(1) takes no such names. */
	if (strpbrk(b->folder, " \t:#$"))
		return error_set(err, ERR_UNSUPPORTED,
				 "the cache is at %s: a kernel can't be built in a folder with "
				 "spaces, ':', '#' or '$' in its name; move it with XDG_CACHE_HOME "
				 "or BANGER_HOME",
				 b->paths->cache);
	b->dir = open_dir_create(b->folder, 0700);
	if (b->dir < 0)
		return error_errno(err, b->dir, "open %s", b->folder);
	if (faccessat(b->dir, BUILD_UNPACKED, F_OK, 0) < 0 && fstatvfs(b->dir, &fs) == 0 &&
	    (uint64_t)fs.f_bavail * fs.f_frsize < room_bytes)
		return error_set(err, ERR_NO_ROOM,
				 "%s: a kernel is built with %llu MiB of room, and %llu are free",
				 b->folder, (unsigned long long)(room_bytes >> 20),
				 (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
	return take_lock(b, err);
}

bool build_marked(const struct build *b, const char *mark)
{
	return faccessat(b->dir, mark, F_OK, 0) == 0;
}

int build_set_mark(struct build *b, const char *mark, struct error *err)
{
	int r = write_file_at(b->dir, mark, "", 0, 0600);

	return r < 0 ? error_errno(err, r, "write %s/%s", b->folder, mark) : 0;
}

char *build_path(const struct build *b, const char *name)
{
	return path_join(b->folder, name);
}

/* --- into the store --- */

static int copy_config(struct build *b, struct staging *staging, struct error *err)
{
	autofree char *config = NULL;
	size_t len = 0;
	int r = read_file_at(b->dir, BUILD_SOURCE "/.config", CONFIG_MAX, &config, &len);

	if (r == 0)
		r = write_new_file(staging->fd, "config", config, len);
	return r < 0 ? error_errno(err, r, "keep the configuration") : 0;
}

static int read_release(struct build *b, struct kernel_info *info, struct error *err)
{
	autofree char *text = NULL;
	int r = read_file_at(b->dir, BUILD_SOURCE "/include/config/kernel.release", 256, &text,
			     NULL);

	if (r < 0)
		return error_errno(err, r, "read the kernel's release");
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(info->version, sizeof(info->version), "%.90s", text);
	return 0;
}

/* Symbols are for debuggers; a guest does not read them. */
static int strip(struct build *b, const struct staging *staging, struct error *err)
{
	autofree char *program = proc_find_program("strip");
	autofree char *from = build_path(b, BUILD_SOURCE "/vmlinux");
	autofree char *to = staging_path(staging, "vmlinux");
	const char *argv[] = { program, "-s", "-o", to, from, NULL };
	struct task task = TASK_INIT;

	if (!program || !from || !to)
		return error_errno(err, -ENOMEM, "strip");
	task.argv = argv;
	task.env = build_env;
	return task_run(&task, b->op, err);
}

static int publish(struct build *b, struct kernel_info *info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	int r;

	op_stage(b->op, "digest");
	r = staging_open(b->paths->kernels, &staging, err);
	if (r == 0)
		r = strip(b, &staging, err);
	if (r == 0)
		r = copy_config(b, &staging, err);
	if (r == 0)
		r = read_release(b, info, err);
	if (r < 0)
		return r;
	(void)snprintf(info->source, sizeof(info->source), "built of %s %s, configuration %.12s",
		       b->package.name, b->package.version, b->key.hex);
	made_from_set(&info->from, "build", KERNEL_BUILD_NAME, NULL);
	r = kernel_publish(&staging, info, NULL, err);
	if (r < 0)
		return r;
	known_remember(b->paths, KNOWN_FOLDER, b->key.hex, info->id);
	op_stage(b->op, "clean");
	/* The lock's file goes last, with the folder: who waits at it finds the kernel. */
	(void)remove_tree_at(b->dir, BUILD_SOURCE);
	(void)unlinkat(b->dir, BUILD_UNPACKED, 0);
	(void)unlinkat(b->dir, BUILD_CONFIGURED, 0);
	return 0;
}

static bool find_built(const struct build *b, struct kernel_info *ret_info)
{
	struct error ignored = ERROR_INIT;
	char id[STORE_ID_SIZE];

	return known_find(b->paths, b->paths->kernels, KNOWN_FOLDER, b->key.hex, id) &&
	       kernel_whole(b->paths, id) && kernel_load(b->paths, id, ret_info, &ignored) == 0;
}

static int build(struct build *b, struct kernel_info *info, struct error *err)
{
	int r = build_marked(b, BUILD_UNPACKED) ? 0 : build_sources(b, err);

	if (r == 0 && !build_marked(b, BUILD_CONFIGURED))
		r = build_configure(b, err);
	if (r == 0)
		r = build_compile(b, err);
	return r < 0 ? r : publish(b, info, err);
}

int kernel_build(const struct image_paths *paths, struct op *op, struct kernel_info *ret_info,
		 struct error *err)
{
	struct build b CLEANUP(build_done) = { .paths = paths, .op = op, .dir = -1, .lock = -1 };
	struct kernel_info info = { .name = KERNEL_BUILD_NAME, .cmdline = CMDLINE };
	int r = resolve(&b, err);

	if (r == 0 && !find_built(&b, &info)) {
		r = open_folder(&b, err);
		if (r == 0 && !find_built(&b, &info))
			r = build(&b, &info, err);
	}
	if (r == 0)
		*ret_info = info;
	return r;
}
