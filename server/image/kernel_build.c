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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/digest/digest.h"
#include "server/image/apt.h"
#include "server/image/deb.h"
#include "server/image/image.h"
#include "server/image/kernel_build.h"
#include "server/image/kernel_config.h"
#include "server/image/known.h"
#include "server/image/manifest.h"
#include "server/image/task.h"

#define FORMAT       "banger-kernel-1"
#define KNOWN_FOLDER "built"

#define PACKAGE    "package.deb"
#define TARBALL    "source.tar.xz"
#define SOURCE     "source"
#define LOG        "make.log"
#define UNPACKED   "unpacked"
#define CONFIGURED "configured"

/* What it costs no guest anything to be told and saves time at every start. */
#define CMDLINE "random.trust_cpu=on"

enum {
	LOCK_TICK_US = 200 * 1000,
	MAKE_TIMEOUT_S = 6 * 3600,
	SMALL_TIMEOUT_S = 1800,
	CONFIG_MAX = 1 << 20,
	JOBS_MAX = 64,
	TARBALL_MAX = 1 << 30,
};

/* Sources and objects together, with room to spare. */
static const uint64_t room_bytes = 2500ULL << 20;

/* The sources that no build of ours opens, a third of them all. */
static const char *const left_out[] = { "--exclude=*/Documentation/*.rst",
					"--exclude=*/Documentation/*.yaml",
					"--exclude=*/Documentation/*.txt",
					"--exclude=*/drivers/gpu/*.[ch]", "--exclude=*.dts*" };

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

/* The same bytes whoever builds, and when. */
static const char *const build_env[] = { BUILD_PATH,
					 "LANG=C.UTF-8",
					 "HOME=/nonexistent",
					 "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
					 "KBUILD_BUILD_USER=banger",
					 "KBUILD_BUILD_HOST=banger",
					 "KBUILD_BUILD_VERSION=1",
					 NULL };

struct build {
	const struct image_paths *paths;
	struct op *op;
	struct apt_package package;
	struct digest key;
	char *folder; /* absolute */
	int dir;
	int lock;
};

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
	while (flock(b->lock, LOCK_EX | LOCK_NB) < 0) {
		int r = op_check(b->op, err);

		if (r < 0)
			return r;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_errno(err, -errno, "lock %s", b->folder);
		(void)usleep(LOCK_TICK_US);
	}
	return 0;
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
	if (faccessat(b->dir, UNPACKED, F_OK, 0) < 0 && fstatvfs(b->dir, &fs) == 0 &&
	    (uint64_t)fs.f_bavail * fs.f_frsize < room_bytes)
		return error_set(err, ERR_NO_ROOM,
				 "%s: a kernel is built with %llu MiB of room, and %llu are free",
				 b->folder, (unsigned long long)(room_bytes >> 20),
				 (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
	return take_lock(b, err);
}

static bool marked(const struct build *b, const char *mark)
{
	return faccessat(b->dir, mark, F_OK, 0) == 0;
}

static int set_mark(struct build *b, const char *mark, struct error *err)
{
	int r = write_file_at(b->dir, mark, "", 0, 0600);

	return r < 0 ? error_errno(err, r, "write %s/%s", b->folder, mark) : 0;
}

/* Absolute path of a file in the folder; the caller frees. */
static char *in_folder(const struct build *b, const char *name)
{
	return path_join(b->folder, name);
}

/* --- sources --- */

static int download(struct build *b, struct error *err)
{
	autofree char *path = in_folder(b, PACKAGE ".part");
	int r;

	op_stage(b->op, "download");
	if (marked(b, PACKAGE))
		return 0;
	if (!path)
		return error_errno(err, -ENOMEM, "download");
	(void)unlinkat(b->dir, PACKAGE ".part", 0);
	r = apt_download(&b->package, path, b->op, err);
	if (r == 0 && renameat(b->dir, PACKAGE ".part", b->dir, PACKAGE) < 0)
		r = error_errno(err, -errno, "rename %s", path);
	return r;
}

static int take_tarball(void *data, struct deb *deb, const char *path, struct error *err)
{
	struct build *b = data;
	int r;

	if (!str_has_prefix(path, "usr/src/linux-") || !strstr(path, ".tar.xz"))
		return 0;
	(void)unlinkat(b->dir, TARBALL, 0);
	r = deb_member_save(deb, TARBALL_MAX, b->dir, TARBALL, 0600, err);
	return r < 0 ? error_wrap(err, "%.200s", path) : 1;
}

struct reading {
	struct op *op;
	int fd;
	uint64_t total;
};

/* The program's standard input is a file that we have open too: they share the offset. */
static int tell_offset(void *data, struct error *err)
{
	const struct reading *reading = data;
	off_t at = lseek(reading->fd, 0, SEEK_CUR);

	(void)err;
	if (at >= 0)
		op_progress(reading->op, (uint64_t)at, reading->total, "bytes");
	return 0;
}

static int run_tar(struct build *b, struct error *err)
{
	autofree char *tar = proc_find_program("tar");
	autofree char *source = in_folder(b, SOURCE);
	const char *argv[ARRAY_SIZE(left_out) + 10];
	struct task task = TASK_INIT;
	struct reading reading = { .op = b->op };
	autoclose int fd = open_regular_beneath(b->dir, TARBALL, O_RDONLY, 0);
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, fd < 0 ? fd : -errno, "open " TARBALL);
	if (!tar || !source)
		return error_errno(err, -ENOMEM, "unpack");
	argv[n++] = tar;
	argv[n++] = "-xJ";
	argv[n++] = "-C";
	argv[n++] = source;
	argv[n++] = "--strip-components=1";
	argv[n++] = "--no-same-owner";
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		argv[n++] = left_out[i];
	argv[n] = NULL;
	reading.fd = fd;
	reading.total = (uint64_t)st.st_size;
	task.argv = argv;
	task.env = build_env;
	task.stdin_fd = fd;
	task.timeout_s = SMALL_TIMEOUT_S;
	task.tick = tell_offset;
	task.tick_data = &reading;
	return task_run(&task, b->op, err);
}

static int unpack(struct build *b, struct error *err)
{
	autoclose int deb = -1;
	autoclose int source = -1;
	int r;

	op_stage(b->op, "unpack");
	deb = open_regular_beneath(b->dir, PACKAGE, O_RDONLY, 0);
	if (deb < 0)
		return error_errno(err, deb, "open %s/" PACKAGE, b->folder);
	r = deb_read(b->paths, deb, b->op, take_tarball, b, err);
	if (r == 0 && !marked(b, TARBALL))
		r = error_set(err, ERR_INVALID, "%s has no usr/src/linux-*.tar.xz",
			      b->package.file);
	if (r < 0)
		return r;
	(void)remove_tree_at(b->dir, SOURCE);
	source = open_subdir(b->dir, SOURCE, 0700);
	if (source < 0)
		return error_errno(err, source, "make %s/" SOURCE, b->folder);
	r = run_tar(b, err);
	if (r == 0)
		r = set_mark(b, UNPACKED, err);
	if (r < 0)
		return r;
	(void)unlinkat(b->dir, TARBALL, 0);
	(void)unlinkat(b->dir, PACKAGE, 0);
	return 0;
}

/* --- make --- */

struct made {
	struct build *build;
	struct lines lines;
	line_fn *fn; /* NULL: nobody reads them */
	void *fn_data;
};

static int read_made(void *data, struct error *err)
{
	struct made *made = data;

	(void)err;
	if (made->fn)
		lines_follow(&made->lines, made->fn, made->fn_data);
	return 0;
}

/*
 * make(1) in the sources with up to three words, out of everybody else's way. Its words go to the
 * log file, and line by line to `fn`.
 */
static int make(struct build *b, const char *const words[3], line_fn *fn, void *fn_data,
		struct error *err)
{
	autofree char *nice = proc_find_program("nice");
	autofree char *program = proc_find_program("make");
	autofree char *source = in_folder(b, SOURCE);
	autoclose int log = open_beneath(b->dir, LOG, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct made made = { .build = b, .lines = { .fd = log }, .fn = fn, .fn_data = fn_data };
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	struct task task = TASK_INIT;
	char jobs[16];
	const char *argv[] = { nice, "-n",     "19",     program,  "-C", source,
			       jobs, words[0], words[1], words[2], NULL };
	int r;

	if (log < 0)
		return error_errno(err, log, "open %s/" LOG, b->folder);
	if (!nice || !program || !source)
		return error_errno(err, -ENOMEM, "make");
	(void)snprintf(jobs, sizeof(jobs), "-j%ld", n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : n);
	task.argv = argv;
	task.env = build_env;
	task.stdout_fd = log;
	task.timeout_s = MAKE_TIMEOUT_S;
	task.tick = read_made;
	task.tick_data = &made;
	r = task_run(&task, b->op, err);
	(void)read_made(&made, err);
	if (r < 0 && err->code == ERR_INTERNAL)
		return error_wrap(err, "see %s/" LOG, b->folder);
	return r;
}

/* Our lines behind those of the smallest configuration: the last word on a symbol counts. */
static int append_fragment(struct build *b, struct error *err)
{
	autoclose int fd = open_beneath(b->dir, SOURCE "/.config", O_WRONLY | O_APPEND, 0);
	int r = fd < 0 ? fd : write_all(fd, kernel_config_text(), kernel_config_size());

	return r < 0 ? error_errno(err, r, "write %s/" SOURCE "/.config", b->folder) : 0;
}

static int check_config(struct build *b, struct error *err)
{
	autofree char *config = NULL;
	int r = read_file_at(b->dir, SOURCE "/.config", CONFIG_MAX, &config, NULL);

	if (r < 0)
		return error_errno(err, r, "read %s/" SOURCE "/.config", b->folder);
	return kernel_config_check(config, err);
}

static int configure(struct build *b, struct error *err)
{
	int r;

	op_stage(b->op, "configure");
	r = make(b, (const char *const[3]){ "tinyconfig", NULL, NULL }, NULL, NULL, err);
	if (r == 0)
		r = append_fragment(b, err);
	if (r == 0)
		r = make(b, (const char *const[3]){ "olddefconfig", NULL, NULL }, NULL, NULL, err);
	if (r == 0)
		r = check_config(b, err);
	/* The build's own tools: what is made then is what the count below finds. */
	if (r == 0)
		r = make(b, (const char *const[3]){ "prepare", NULL, NULL }, NULL, NULL, err);
	return r < 0 ? r : set_mark(b, CONFIGURED, err);
}

struct compiling {
	struct build *build;
	uint64_t done;
	uint64_t total;
};

bool kernel_build_compiles(const char *line, char ret_file[KERNEL_BUILD_FILE_MAX])
{
	static const char *const words[] = { "  CC  ", "  AS  " };
	const char *at = NULL;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(words) && !at; i++) {
		const char *echo = strstr(line, "echo '  ");

		if (str_has_prefix(line, words[i]))
			at = line;
		else if (echo && str_has_prefix(echo + strlen("echo '"), words[i]))
			at = echo + strlen("echo '");
	}
	if (!at)
		return false;
	at += strlen(words[0]);
	at += strspn(at, " ");
	len = strcspn(at, " '\n");
	if (len == 0 || len >= KERNEL_BUILD_FILE_MAX)
		return false;
	memcpy(ret_file, at, len);
	ret_file[len] = '\0';
	return true;
}

/* A dry run names every file, made already or not. */
static void plan_file(void *data, const char *line)
{
	struct compiling *c = data;
	char file[KERNEL_BUILD_FILE_MAX];
	char path[KERNEL_BUILD_FILE_MAX + sizeof(SOURCE) + 1];

	if (!kernel_build_compiles(line, file))
		return;
	c->total++;
	(void)snprintf(path, sizeof(path), SOURCE "/%s", file);
	c->done += faccessat(c->build->dir, path, F_OK, 0) == 0;
}

static void count_compiled(void *data, const char *line)
{
	struct compiling *c = data;
	char file[KERNEL_BUILD_FILE_MAX];

	if (!kernel_build_compiles(line, file))
		return;
	if (c->done < c->total)
		c->done++;
	op_progress(c->build->op, c->done, c->total, "files");
}

static int compile(struct build *b, struct error *err)
{
	struct compiling c = { .build = b };
	struct error ignored = ERROR_INIT;
	int r;

	/* A dry run says how much there is to do. It stops at what needs the objects themselves. */
	op_stage(b->op, "plan");
	(void)make(b, (const char *const[3]){ "-n", "vmlinux", NULL }, plan_file, &c, &ignored);
	r = op_check(b->op, err);
	if (r < 0)
		return r;
	op_stage(b->op, "compile");
	op_progress(b->op, c.done, c.total, "files");
	return make(b, (const char *const[3]){ "vmlinux", NULL, NULL }, count_compiled, &c, err);
}

/* --- into the store --- */

static int copy_config(struct build *b, struct staging *staging, struct error *err)
{
	autofree char *config = NULL;
	size_t len = 0;
	int r = read_file_at(b->dir, SOURCE "/.config", CONFIG_MAX, &config, &len);

	if (r == 0)
		r = write_new_file(staging->fd, "config", config, len);
	return r < 0 ? error_errno(err, r, "keep the configuration") : 0;
}

static int read_release(struct build *b, struct kernel_info *info, struct error *err)
{
	autofree char *text = NULL;
	int r = read_file_at(b->dir, SOURCE "/include/config/kernel.release", 256, &text, NULL);

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
	autofree char *from = in_folder(b, SOURCE "/vmlinux");
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
	/* The lock's file goes last, with the folder: who waits at it finds the kernel. */
	(void)remove_tree_at(b->dir, SOURCE);
	(void)unlinkat(b->dir, UNPACKED, 0);
	(void)unlinkat(b->dir, CONFIGURED, 0);
	return 0;
}

static bool find_built(const struct build *b, struct kernel_info *ret_info)
{
	struct error ignored = ERROR_INIT;
	char id[STORE_ID_SIZE];

	return known_find(b->paths, b->paths->kernels, KNOWN_FOLDER, b->key.hex, id) &&
	       kernel_whole(b->paths, id) && kernel_load(b->paths, id, ret_info, &ignored) == 0;
}

int kernel_build(const struct image_paths *paths, struct op *op, struct kernel_info *ret_info,
		 struct error *err)
{
	struct build b CLEANUP(build_done) = { .paths = paths, .op = op, .dir = -1, .lock = -1 };
	struct kernel_info info = { .name = KERNEL_BUILD_NAME, .cmdline = CMDLINE };
	int r = resolve(&b, err);

	if (r == 0 && !find_built(&b, &info)) {
		r = open_folder(&b, err);
		if (r == 0 && find_built(&b, &info)) {
			*ret_info = info;
			return 0;
		}
		if (r == 0 && !marked(&b, UNPACKED)) {
			r = download(&b, err);
			if (r == 0)
				r = unpack(&b, err);
		}
		if (r == 0 && !marked(&b, CONFIGURED))
			r = configure(&b, err);
		if (r == 0)
			r = compile(&b, err);
		if (r == 0)
			r = publish(&b, &info, err);
	}
	if (r == 0)
		*ret_info = info;
	return r;
}
