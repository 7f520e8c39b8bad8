/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files are packed into memory by the worker, a bounded amount, and sent by the loop: so that
 * no slow guest holds up the worker, and no slow disk the loop.
 */
#include "server/vm/host_files.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/proc/proc.h"
#include "lib/tar/tar.h"

#define GUEST_HOME "/root"

enum {
	KEYS_MAX = 64 * 1024,
	FILES_MAX = 32 * 1024 * 1024, /* of one start, packed */
	CHUNK = 64 * 1024,
	GIT_MS = 10 * 1000,
	GIVE_MS = 60 * 1000,
};

/* --- what there is: keys and names --- */

/* Absolute; the caller frees. NULL when out of memory. */
static char *expand(const struct vm_host_files *c, const char *path)
{
	return path[0] == '~' ? path_join(c->home, path + 2) : strdup(path);
}

static int add_keys(const struct vm_host_files *c, json_t *body, struct error *err)
{
	autofree char *path = c->keys ? expand(c, c->keys) : NULL;
	autofree char *text = NULL;
	size_t len;
	int r;

	if (!c->keys)
		return 0;
	r = path ? read_file(path, KEYS_MAX, &text, &len) : -ENOMEM;
	if (r == -ENOENT && c->keys_are_ours) /* made when ssh is first used */
		return 0;
	if (r < 0)
		return error_errno(err, r, "guest.authorized_keys: read %.300s",
				   path ? path : c->keys);
	if (json_object_set_new(body, "authorized_keys", json_string(text)) < 0)
		return error_set(err, ERR_INVALID, "guest.authorized_keys: %.300s is no text",
				 path);
	return 0;
}

/* "user.name\nSome One\0user.email\n…\0"; of a key that is there twice the last counts. */
static void take_git(json_t *body, const char *text, size_t len)
{
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		const char *value = strchr(text + at, '\n');
		bool name = str_has_prefix(text + at, "user.name\n");

		if (value && value[1])
			(void)json_object_set_new(body, name ? "git_name" : "git_email",
						  json_string(value + 1));
	}
}

/* git need not be here, and nobody need have said who they are. */
static void add_git(const struct vm_host_files *c, json_t *body)
{
	autofree char *one = path_join(c->home, ".gitconfig");
	autofree char *other = path_join(c->home, ".config/git/config");
	autofree char *program = NULL, *home_line = NULL;
	const char *argv[] = { NULL,
			       "config",
			       "--global",
			       "--includes",
			       "-z",
			       "--get-regexp",
			       "^user\\.(name|email)$",
			       NULL };
	const char *env[] = { NULL, "LANG=C.UTF-8", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error ignored;

	if (!one || !other || (access(one, R_OK) < 0 && access(other, R_OK) < 0))
		return;
	program = proc_find_program("git");
	if (!program || asprintf(&home_line, "HOME=%s", c->home) < 0)
		return;
	argv[0] = program;
	env[0] = home_line;
	spec.argv = argv;
	spec.env = env;
	run.output_max = KEYS_MAX;
	run.timeout_ms = GIT_MS;
	if (proc_run(&spec, &run, &result, &ignored) < 0)
		return;
	if (result.status == 0)
		take_git(body, result.out, result.out_len);
	proc_result_done(&result);
}

/* --- what there is: files --- */

struct parts {
	struct tar_part part[FILE_SYNC_MAX];
	char *name[FILE_SYNC_MAX]; /* of single files */
	const struct file_sync *sync[FILE_SYNC_MAX];
	size_t left_out[FILE_SYNC_MAX];
	size_t n;
};

static void parts_done(struct parts *p)
{
	for (size_t i = 0; i < p->n; i++) {
		close_keep_errno(p->part[i].dir_fd);
		free(p->name[i]);
	}
}

static int check_place(const struct vm_host_files *c, const char *real, const char *host,
		       struct error *err)
{
	char home[PATH_MAX];
	size_t len;

	if (!c->beneath_home)
		return 0;
	if (!realpath(c->home, home))
		return error_errno(err, -errno, "file_sync: %.200s", c->home);
	len = strlen(home);
	if (strncmp(real, home, len) == 0 && real[len] == '/')
		return 0;
	return error_set(err, ERR_FORBIDDEN,
			 "file_sync: %.200s is not below the owner's home %.100s; a system install "
			 "gives nothing else to guests",
			 host, home);
}

/* Where the name leads: the folder itself, or a file's folder and name. */
static int open_part(const char *real, struct parts *p, const char *host, struct error *err)
{
	char folder[PATH_MAX];
	char *slash;
	struct stat st;
	int fd;

	if (stat(real, &st) < 0)
		return error_errno(err, -errno, "file_sync: look at %.300s", host);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "file_sync: %.300s is neither file nor folder",
				 host);
	(void)snprintf(folder, sizeof(folder), "%s", real);
	slash = strrchr(folder, '/');
	if (S_ISREG(st.st_mode)) {
		p->name[p->n] = strdup(slash + 1);
		if (!p->name[p->n])
			return error_errno(err, -ENOMEM, "file_sync");
		slash[slash == folder] = '\0';
	}
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "file_sync: open %.300s", host);
	p->part[p->n] = (struct tar_part){ .dir_fd = fd,
					   .name = p->name[p->n],
					   .as = p->sync[p->n]->guest,
					   .mode = p->sync[p->n]->mode,
					   .ret_left_out = &p->left_out[p->n] };
	p->n++;
	return 0;
}

static int find_parts(const struct vm_host_files *c, struct parts *p, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < c->n_sync && r == 0; i++) {
		autofree char *path = expand(c, c->sync[i].host);
		char real[PATH_MAX];

		if (!path)
			return error_errno(err, -ENOMEM, "file_sync");
		if (!realpath(path, real)) {
			if (errno != ENOENT)
				return error_errno(err, -errno, "file_sync: find %.300s", path);
			log_fields(LOG_WARN, "file_sync: not there, left out", "path", path, NULL);
			continue;
		}
		p->sync[p->n] = &c->sync[i];
		r = check_place(c, real, c->sync[i].host, err);
		if (r == 0)
			r = open_part(real, p, c->sync[i].host, err);
		if (r < 0)
			free(TAKE_PTR(p->name[p->n]));
	}
	return r;
}

/* The archive in memory; it can't grow beyond its limit. */
static int pack(struct parts *p, int *ret_fd, uint64_t *ret_size, struct error *err)
{
	autoclose int fd = memfd_create("file_sync", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t size;
	int r;

	if (fd < 0 || ftruncate(fd, FILES_MAX) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0)
		return error_errno(err, -errno, "make room for file_sync");
	r = tar_write_parts(fd, p->part, p->n, TAR_DROP_OWNER, err);
	if (r < 0 && err->sys == EPERM)
		return error_set(err, ERR_TOO_LARGE,
				 "file_sync: more than %d MiB in all; name less", FILES_MAX >> 20);
	if (r < 0)
		return error_wrap(err, "file_sync");
	size = lseek(fd, 0, SEEK_CUR);
	for (size_t i = 0; i < p->n; i++)
		if (p->left_out[i])
			log_fields(LOG_WARN,
				   "file_sync: links and other special files are left out", "path",
				   p->sync[i]->host, NULL);
	*ret_fd = take_fd(&fd);
	*ret_size = (uint64_t)size;
	return 0;
}

/* --- to the guest, on the loop --- */

static void answer(struct host_files *f, const struct error *err)
{
	uint64_t one = 1;

	if (err)
		f->error = *err;
	__atomic_store_n(&f->answered, true, __ATOMIC_RELEASE);
	(void)!write(f->wake_fd, &one, sizeof(one));
}

static void on_home(void *data, const json_t *reply, const struct error *err)
{
	(void)reply;
	answer(data, err);
}

static int call_home(struct vm *vm, void *data, struct error *err)
{
	struct host_files *f = data;

	if (!vm->guest)
		return error_set(err, ERR_GUEST, "the VM ended before it had the host's files");
	guest_call(vm->guest, "/home", TAKE_PTR(f->home), GIVE_MS, on_home, f);
	return 0;
}

static void send_more(void *data)
{
	struct host_files *f = data;
	uint8_t bytes[CHUNK];

	while (f->sent < f->size) {
		uint64_t left = f->size - f->sent;
		ssize_t n = pread(f->archive_fd, bytes, left < CHUNK ? (size_t)left : CHUNK,
				  (off_t)f->sent);
		size_t taken = n > 0 ? guest_stream_write(f->stream, bytes, (size_t)n) : 0;

		f->sent += taken;
		if (n <= 0 || taken < (size_t)n)
			return;
	}
	guest_stream_finish(f->stream);
}

static void on_unpacked(void *data, const struct error *err)
{
	struct host_files *f = data;

	f->stream = NULL;
	answer(f, err->code == ERR_NONE ? NULL : err);
}

static int send_archive(struct vm *vm, void *data, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .writable = send_more,
								 .end = on_unpacked };
	struct host_files *f = data;
	int r = vm->guest
			? guest_tar_put(vm->guest, GUEST_HOME, &callbacks, f, &f->stream, err)
			: error_set(err, ERR_GUEST, "the VM ended before it had the host's files");

	if (r == 0)
		send_more(f);
	return r;
}

static int stop_sending(struct vm *vm, void *data, struct error *err)
{
	struct host_files *f = data;

	(void)vm;
	(void)err;
	if (f->stream)
		guest_stream_abort(TAKE_PTR(f->stream));
	return 0;
}

/* --- the worker --- */

/* 0 when the guest has answered, whatever it said. */
static int await_answer(struct op *op, struct host_files *f, struct error *err)
{
	int64_t deadline_us = clock_mono_us() + (int64_t)GIVE_MS * 1000;

	while (!__atomic_load_n(&f->answered, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2] = { { .fd = f->wake_fd, .events = POLLIN },
				       { .fd = op_cancel_fd(op), .events = POLLIN } };
		int64_t left = (deadline_us - clock_mono_us()) / 1000;
		uint64_t n;
		int r = op_check(op, err);

		if (r < 0)
			return r;
		if (left <= 0)
			return error_set(err, ERR_TIMEOUT,
					 "the guest took too long to take the host's files");
		(void)poll(p, 2, (int)left);
		if (p[0].revents & POLLIN)
			(void)!read(f->wake_fd, &n, sizeof(n));
	}
	f->answered = false;
	return 0;
}

/* What the guest can't take is no reason not to run: nobody could make room in it. */
static void log_refusal(const struct verb_job *job, struct host_files *f, const char *what)
{
	if (f->error.code != ERR_NONE)
		log_fields(LOG_WARN, "the guest did not take all of the host's files", "vm",
			   job->id, "what", what, "error", f->error.msg, NULL);
	f->error = ERROR_INIT;
}

static int give_home(struct op *op, struct verb_job *job, struct host_files *f, struct error *err)
{
	int r = vm_on_loop(job, call_home, f, err);

	if (r == 0)
		r = await_answer(op, f, err);
	if (r == 0)
		log_refusal(job, f, "keys and git");
	return r;
}

static int give_files(struct op *op, struct verb_job *job, struct host_files *f, struct error *err)
{
	int r = vm_on_loop(job, send_archive, f, err);

	if (r == 0)
		r = await_answer(op, f, err);
	if (r < 0) {
		struct error ignored;

		(void)!vm_on_loop(job, stop_sending, f, &ignored);
		return r;
	}
	log_refusal(job, f, "file_sync");
	return 0;
}

int vm_give_host_files(struct op *op, struct verb_job *job, struct host_files *f, struct error *err)
{
	int r = 0;

	if (!f->home && f->archive_fd < 0)
		return 0;
	op_stage(op, "host files");
	if (f->home)
		r = give_home(op, job, f, err);
	return r == 0 && f->archive_fd >= 0 ? give_files(op, job, f, err) : r;
}

int vm_read_host_files(const struct verb_job *job, struct host_files *f, struct error *err)
{
	const struct vm_host_files *c = &job->vms->c.host_files;
	struct parts parts CLEANUP(parts_done) = { .n = 0 };
	json_auto_t *home = json_object();
	int r = home ? add_keys(c, home, err) : error_errno(err, -ENOMEM, "host files");

	if (r == 0 && c->git)
		add_git(c, home);
	if (r == 0)
		r = find_parts(c, &parts, err);
	if (r == 0 && parts.n > 0)
		r = pack(&parts, &f->archive_fd, &f->size, err);
	if (r == 0 && json_object_size(home) > 0)
		f->home = json_incref(home);
	return r;
}

struct host_files_home vm_host_files_home(const struct vm_host_files *c)
{
	autofree char *path = c->keys ? expand(c, c->keys) : NULL;
	json_auto_t *names = json_object();

	if (c->git && names)
		add_git(c, names);
	return (struct host_files_home){
		.keys = path && access(path, R_OK) == 0,
		.git = json_object_size(names) > 0,
	};
}

void host_files_done(struct host_files *f)
{
	json_decref(f->home);
	close_keep_errno(f->archive_fd);
	*f = HOST_FILES_INIT;
}
