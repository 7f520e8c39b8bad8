/* SPDX-License-Identifier: Apache-2.0 */
/* The second part of a kernel's build: make(1) in its sources, with progress. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/kernel_build_internal.h"
#include "server/image/kernel_config.h"
#include "server/image/task.h"

#define LOG "make.log"

enum { MAKE_TIMEOUT_S = 6 * 3600, CONFIG_MAX = 1 << 20, JOBS_MAX = 64 };

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
	autofree char *source = build_path(b, BUILD_SOURCE);
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
	autoclose int fd = open_beneath(b->dir, BUILD_SOURCE "/.config", O_WRONLY | O_APPEND, 0);
	int r = fd < 0 ? fd : write_all(fd, kernel_config_text(), kernel_config_size());

	return r < 0 ? error_errno(err, r, "write %s/" BUILD_SOURCE "/.config", b->folder) : 0;
}

static int check_config(struct build *b, struct error *err)
{
	autofree char *config = NULL;
	int r = read_file_at(b->dir, BUILD_SOURCE "/.config", CONFIG_MAX, &config, NULL);

	if (r < 0)
		return error_errno(err, r, "read %s/" BUILD_SOURCE "/.config", b->folder);
	return kernel_config_check(config, err);
}

int build_configure(struct build *b, struct error *err)
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
	return r < 0 ? r : build_set_mark(b, BUILD_CONFIGURED, err);
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
	char path[KERNEL_BUILD_FILE_MAX + sizeof(BUILD_SOURCE) + 1];

	if (!kernel_build_compiles(line, file))
		return;
	c->total++;
	(void)snprintf(path, sizeof(path), BUILD_SOURCE "/%s", file);
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

int build_compile(struct build *b, struct error *err)
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
