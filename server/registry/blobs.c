/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/digest/digest.h"

enum { HASH_PIECE = 256 * 1024 };

struct job {
	const struct oci_blob *blob;
	struct progress *progress;
	int dir;
	int part; /* -1: nothing to download */
	struct digest_stream stream;
	uint64_t have;
	size_t index; /* among the parts of the operation */
	bool resumed; /* from bytes that an earlier attempt of somebody has left */
	bool wrong;   /* they were other bytes than the manifest asks for */
	char final[OCI_DIGEST_SIZE + 8];
	char partial[OCI_DIGEST_SIZE + 8];
	char what[64];
	char path[REFERENCE_REPO_MAX + OCI_DIGEST_SIZE + 32];
};

struct progress {
	struct op *op;
	uint64_t done;
	uint64_t total;
	uint64_t told;
};

static void tell(struct progress *p, bool always)
{
	if (!always && p->done - p->told < (1 << 20))
		return;
	p->told = p->done;
	op_progress(p->op, p->done, p->total, "bytes");
}

/* What one blob is shown as: the first letters of its digest. */
static void tell_part(const struct job *job, uint64_t done)
{
	char name[OP_PART_NAME_MAX + 1];

	(void)snprintf(name, sizeof(name), "%.12s", job->blob->digest + strlen("sha256:"));
	op_part(job->progress->op, job->index, name, done, job->blob->size);
}

static void job_done(struct job *job)
{
	close_keep_errno(job->part);
	digest_abandon(&job->stream);
}

/* --- what is there --- */

/* Opens a complete blob: 1 when it is there and what it says. A damaged one is removed. */
static int open_final(const struct job *job, int *ret_fd, struct error *err)
{
	autoclose int fd = open_regular_beneath(job->dir, job->final, O_RDONLY, 0);
	struct digest digest;
	struct stat st;
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, fd < 0 ? fd : -errno, "%s: open it in the cache",
				   job->what);
	r = (uint64_t)st.st_size == job->blob->size ? digest_file(fd, &digest) : -EBADMSG;
	if (r == 0 && streq(digest.hex, job->blob->digest + strlen("sha256:"))) {
		/* Its age is that of its last use. */
		(void)futimens(fd, NULL);
		*ret_fd = take_fd(&fd);
		return 1;
	}
	if (r < 0 && r != -EBADMSG)
		return error_errno(err, r, "%s: read it in the cache", job->what);
	(void)unlinkat(job->dir, job->final, 0);
	return 0;
}

static bool same_file(int dir, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/*
 * Takes the lock of a blob that is not there: job->part, or the complete blob in *ret_fd when
 * somebody else has brought it meanwhile.
 */
static int lock_part(struct job *job, struct op *op, int *ret_fd, struct error *err)
{
	for (;;) {
		autoclose int fd =
			open_regular_beneath(job->dir, job->partial, O_RDWR | O_CREAT, 0600);
		int r;

		if (fd < 0)
			return error_errno(err, fd, "%s: make it in the cache", job->what);
		r = op_lock_file(op, fd, err);
		if (r < 0)
			return r;
		r = open_final(job, ret_fd, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (same_file(job->dir, job->partial, fd)) {
			job->part = take_fd(&fd);
			return 0;
		}
	}
}

/* --- the download of one --- */

static int fail_local(const struct job *job, int r, struct error *err)
{
	return error_errno(err, r, "%s: write it to the cache", job->what);
}

static int start_over(struct job *job, struct error *err)
{
	int r;

	digest_abandon(&job->stream);
	job->progress->done -= job->have;
	job->have = 0;
	r = ftruncate(job->part, 0) < 0 ? -errno : digest_start(&job->stream);
	return r < 0 ? fail_local(job, r, err) : 0;
}

/* Hashes what is there. */
static int take_up(struct job *job, struct error *err)
{
	autofree char *bytes = malloc(HASH_PIECE);
	struct stat st;
	int r = bytes ? 0 : -ENOMEM;

	if (r == 0 && fstat(job->part, &st) < 0)
		r = -errno;
	if (r == 0)
		r = digest_start(&job->stream);
	if (r < 0)
		return fail_local(job, r, err);
	/* All of it would have been given its final name. */
	if ((uint64_t)st.st_size >= job->blob->size)
		return start_over(job, err);
	while (job->have < (uint64_t)st.st_size) {
		ssize_t n = pread(job->part, bytes, HASH_PIECE, (off_t)job->have);

		r = n > 0 ? digest_update(&job->stream, bytes, (size_t)n) : n < 0 ? -errno : -EIO;
		if (r < 0)
			return fail_local(job, r, err);
		job->have += (uint64_t)n;
		job->progress->done += (uint64_t)n;
	}
	job->resumed = job->have > 0;
	return 0;
}

static int sink_begin(void *data, uint64_t *ret_have, struct error *err)
{
	struct job *job = data;
	int r = job->stream.ctx ? 0 : take_up(job, err);

	*ret_have = job->have;
	return r;
}

static int sink_rewind(void *data, struct error *err)
{
	struct job *job = data;

	job->resumed = false;
	return start_over(job, err);
}

static int sink_write(void *data, const void *bytes, size_t len, struct error *err)
{
	struct job *job = data;
	const char *at = bytes;
	int r = digest_update(&job->stream, bytes, len);

	while (r == 0 && len > 0) {
		ssize_t n = pwrite(job->part, at, len, (off_t)job->have);

		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n <= 0)
			continue;
		at += n;
		len -= (size_t)n;
		job->have += (uint64_t)n;
		job->progress->done += (uint64_t)n;
	}
	tell(job->progress, false);
	tell_part(job, job->have);
	return r < 0 ? fail_local(job, r, err) : 0;
}

static int sink_end(void *data, struct error *err)
{
	struct job *job = data;
	struct digest digest;
	int r = digest_finish(&job->stream, &digest);

	if (r < 0)
		return fail_local(job, r, err);
	if (!streq(digest.hex, job->blob->digest + strlen("sha256:"))) {
		job->wrong = true;
		(void)!ftruncate(job->part, 0);
		job->progress->done -= job->have;
		job->have = 0;
		return error_set(
			err, ERR_UPSTREAM,
			"%s: its sha256 is %s, the manifest says %s; nothing of it is kept",
			job->what, digest.hex, job->blob->digest + strlen("sha256:"));
	}
	if (renameat(job->dir, job->partial, job->dir, job->final) < 0)
		return fail_local(job, -errno, err);
	/* The lock goes with the descriptor. */
	close_keep_errno(take_fd(&job->part));
	return 0;
}

static const struct fetch_sink sink = {
	.begin = sink_begin, .rewind = sink_rewind, .write = sink_write, .end = sink_end
};

/* --- all of them --- */

struct jobs {
	struct job *v;
	size_t n;
	struct fetch *fetches;
};

static void jobs_done(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->n; i++)
		job_done(&jobs->v[i]);
	free(jobs->v);
	free(jobs->fetches);
}

static int by_digest(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return strcmp(x->blob->digest, y->blob->digest);
}

/* One job a digest; in the same order for everybody, so that nobody waits for each other. */
static int make_jobs(struct jobs *jobs, const struct registry *registry, int dir,
		     const struct oci_blob *blobs, size_t n, const char *what,
		     struct progress *progress, struct error *err)
{
	jobs->v = calloc(n ? n : 1, sizeof(*jobs->v));
	jobs->fetches = calloc(n ? n : 1, sizeof(*jobs->fetches));
	if (!jobs->v || !jobs->fetches)
		return error_errno(err, -ENOMEM, "%s", what);
	for (size_t i = 0; i < n; i++) {
		struct job *job = &jobs->v[i];
		const char *hex = blobs[i].digest + strlen("sha256:");

		*job = (struct job){
			.blob = &blobs[i], .progress = progress, .dir = dir, .part = -1
		};
		(void)snprintf(job->what, sizeof(job->what), "%s %zu of %zu", what, i + 1, n);
		(void)snprintf(job->final, sizeof(job->final), "sha256-%s", hex);
		(void)snprintf(job->partial, sizeof(job->partial), "part-%s", hex);
		(void)snprintf(job->path, sizeof(job->path), "/v2/%s/blobs/%s", registry->ref.repo,
			       blobs[i].digest);
	}
	jobs->n = n;
	qsort(jobs->v, n, sizeof(*jobs->v), by_digest);
	for (size_t i = 1; i < jobs->n;) {
		if (!streq(jobs->v[i].blob->digest, jobs->v[i - 1].blob->digest)) {
			i++;
			continue;
		}
		memmove(&jobs->v[i], &jobs->v[i + 1], (jobs->n - i - 1) * sizeof(*jobs->v));
		jobs->n--;
	}
	return 0;
}

/* Everything that is not there, and that nobody else brings. */
static int download(struct registry *registry, struct jobs *jobs, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < jobs->n; i++) {
		struct job *job = &jobs->v[i];

		if (job->part < 0)
			continue;
		jobs->fetches[n] = (struct fetch){ .what = job->what,
						   .max = job->blob->size,
						   .exact = true,
						   .sink = &sink,
						   .data = job };
		(void)snprintf(jobs->fetches[n].path, sizeof(jobs->fetches[n].path), "%s",
			       job->path);
		n++;
	}
	return fetch_all(registry, jobs->fetches, n, err);
}

static int prepare(struct jobs *jobs, struct progress *progress, struct error *err)
{
	for (size_t i = 0; i < jobs->n; i++) {
		struct job *job = &jobs->v[i];
		autoclose int there = -1;
		int r = open_final(job, &there, err);

		if (r == 0)
			r = lock_part(job, progress->op, &there, err);
		if (r < 0)
			return r;
		progress->total += job->blob->size;
		if (there >= 0)
			progress->done += job->blob->size;
		job->index = i;
		tell_part(job, there >= 0 ? job->blob->size : 0);
	}
	return 0;
}

static int open_all(struct jobs *jobs, const struct oci_blob *blobs, size_t n, int *ret_fds,
		    struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		char name[OCI_DIGEST_SIZE + 8];

		(void)snprintf(name, sizeof(name), "sha256-%s",
			       blobs[i].digest + strlen("sha256:"));
		ret_fds[i] = open_regular_beneath(jobs->v[0].dir, name, O_RDONLY, 0);
		if (ret_fds[i] < 0) {
			int r = ret_fds[i];

			while (i-- > 0)
				close_keep_errno(take_fd(&ret_fds[i]));
			return error_errno(err, r, "open %s in the cache", name);
		}
	}
	return 0;
}

int blobs_get(struct registry *registry, const char *folder, const struct oci_blob *blobs, size_t n,
	      const char *what, int *ret_fds, struct error *err)
{
	struct jobs jobs CLEANUP(jobs_done) = { .n = 0 };
	struct progress progress = { .op = registry->op };
	autoclose int dir = open_dir_create(folder, 0700);
	bool again = false;
	int r;

	if (dir < 0)
		return error_errno(err, dir, "open %s", folder);
	if (n == 0)
		return 0;
	r = make_jobs(&jobs, registry, dir, blobs, n, what, &progress, err);
	if (r == 0)
		r = prepare(&jobs, &progress, err);
	if (r < 0)
		return r;
	r = download(registry, &jobs, err);
	for (size_t i = 0; r < 0 && i < jobs.n; i++)
		again |= jobs.v[i].wrong && jobs.v[i].resumed;
	if (again) {
		/* The bytes of the earlier attempt may have been what was wrong. */
		*err = ERROR_INIT;
		r = download(registry, &jobs, err);
	}
	if (r < 0)
		return r;
	tell(&progress, true);
	return open_all(&jobs, blobs, n, ret_fds, err);
}

/* --- pruning --- */

static int prune_one(int dir, const char *name, int64_t older_than, bool dry_run,
		     uint64_t *ret_bytes)
{
	autoclose int fd = open_regular_beneath(dir, name, O_RDWR, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_mtim.tv_sec > older_than)
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (!dry_run && unlinkat(dir, name, 0) < 0)
		return -errno;
	*ret_bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

int blobs_prune(const char *folder, int64_t age_s, bool dry_run, uint64_t *ret_bytes,
		struct error *err)
{
	autoclose int fd = open_dir_create(folder, 0700);
	const struct dirent *e;
	int64_t older_than = (int64_t)time(NULL) - age_s;
	DIR *dir;
	int r = 0;

	*ret_bytes = 0;
	dir = fd < 0 ? NULL : dir_entries(fd);
	if (!dir)
		return error_errno(err, fd < 0 ? fd : -errno, "read %s", folder);
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (str_has_prefix(e->d_name, "sha256-") || str_has_prefix(e->d_name, "part-"))
			r = prune_one(fd, e->d_name, older_than, dry_run, ret_bytes);
	(void)closedir(dir);
	return r < 0 ? error_errno(err, r, "clean %s", folder) : 0;
}
