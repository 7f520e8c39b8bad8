/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content-addressed store of images and kernels below <state>/images and <state>/kernels.
 *
 * An image is one read-only squashfs with its configuration; a kernel is an ELF vmlinux with what
 * of its modules the agent has to load. Both are folders that are built under a temporary name and
 * published by rename; a row in the store is written after that. Builders are operation bodies:
 * they run on worker threads, report stages and progress through `op`, and leave nothing behind
 * when they fail or are cancelled.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "server/ops/op.h"

/* Where things are, fixed at start; borrowed for the life of the process. */
struct image_paths {
	const char *images;  /* absolute: <state>/images */
	const char *kernels; /* absolute: <state>/kernels */
	const char *cache;   /* absolute: <cache>, may be lost at any time */
	const char *agent;   /* absolute path of the banger-agent binary for guests */
	const char *libexec; /* folder of our own worker programs */
};

/*
 * How an entry is made once more when its files are lost: by "pull" (a reference with its digest),
 * "import" (a path), "build" (a builder's word), "package" (a kernel's word), "file" (a path;
 * `more` its modules'), "url" (`more` its sha256) or "artifact" (a reference with its digest). "":
 * it can't be.
 */
struct made_from {
	char how[16];
	char what[2049];
	char more[1025];
};

/* Fills it in; what does not fit is left out, and then it can't be made again. */
void made_from_set(struct made_from *from, const char *how, const char *what, const char *more);

/* The same of a registry, with the digest that will always mean this one. */
struct reference;
void made_from_registry(struct made_from *from, const char *how, const struct reference *ref,
			const char *digest);

struct image_info {
	char id[72];      /* "sha256-" and 64 hex digits over files and configuration */
	char name[256];   /* name asked for: "mini", "python:3.12" */
	char source[512]; /* where it came from, for people */
	uint64_t size_bytes;
	struct made_from from;
	json_t *config; /* OCI image config subset: entrypoint, cmd, env, user, workdir, …; owned */
};
void image_info_done(struct image_info *info);

struct kernel_info {
	char id[72];      /* "sha256-" and 64 hex digits of vmlinux */
	char name[64];    /* "debian-cloud" */
	char version[96]; /* "6.1.0-41-cloud-amd64" */
	char source[512];
	uint64_t size_bytes;
	struct made_from from;
	char cmdline[512]; /* what this kernel wants on its command line, on top of the driver's own
			      words */
};

/*
 * Makes the folders and removes what an earlier process left half-built. Once, at start, before any
 * builder runs.
 */
int image_store_init(const struct image_paths *paths, struct error *err) MUST_USE;

/* Reads an entry's manifest. ERR_NOT_FOUND when it is not there. Any thread. */
int image_load(const struct image_paths *paths, const char *image_id, struct image_info *ret_info,
	       struct error *err) MUST_USE;
int kernel_load(const struct image_paths *paths, const char *kernel_id,
		struct kernel_info *ret_info, struct error *err) MUST_USE;

/*
 * Compares an entry with its digest; takes as long as reading it. What is damaged is marked, and
 * made again when it is next needed. Worker.
 */
int image_verify(const struct image_paths *paths, const char *image_id, struct error *err) MUST_USE;
int kernel_verify(const struct image_paths *paths, const char *kernel_id,
		  struct error *err) MUST_USE;

/* The entry is there, and whole as far as sizes and marks say: cheap. Any thread. */
bool image_whole(const struct image_paths *paths, const char *image_id) MUST_USE;
bool kernel_whole(const struct image_paths *paths, const char *kernel_id) MUST_USE;
/* It is known to the store, be it whole or not. */
bool image_known(const struct image_paths *paths, const char *image_id) MUST_USE;
bool kernel_known(const struct image_paths *paths, const char *kernel_id) MUST_USE;

/*
 * Sees to it that an entry is whole: what is missing is made again from where it came, as stage
 * "mend" and those of the maker, and must become the same entry. What is damaged but there is left
 * as it is when that fails. ERR_STATE says what to bring again. Worker.
 */
struct registry_settings;
int image_mend(const struct image_paths *paths, const struct registry_settings *settings,
	       const char *image_id, struct op *op, struct error *err) MUST_USE;
int kernel_mend(const struct image_paths *paths, const struct registry_settings *settings,
		const char *kernel_id, struct op *op, struct error *err) MUST_USE;

/* Builds the image `mini`: busybox from the host's packages. */
int image_build_mini(const struct image_paths *paths, struct op *op, struct image_info *ret_info,
		     struct error *err) MUST_USE;

/*
 * Builds the image `debian`: the host's release with systemd, sshd, git and curl, by mmdebstrap.
 * About a minute. Its configuration has "init": "system": the image's own init is process 1.
 */
int image_build_debian(const struct image_paths *paths, struct op *op, struct image_info *ret_info,
		       struct error *err) MUST_USE;

/*
 * Pulls an image from a registry ("python:3.12", "ghcr.io/org/tool@sha256:…"). Layers stay in the
 * cache. Its own init is process 1 where its entrypoint or command is one.
 */
int image_pull(const struct image_paths *paths, const struct registry_settings *settings,
	       const char *reference, struct op *op, struct image_info *ret_info,
	       struct error *err) MUST_USE;

/*
 * Makes an image of what is at `path` (absolute): a root file system as a tar archive, a squashfs
 * or a folder; an OCI image layout as a folder or tar archive; or a docker archive.
 */
int image_import(const struct image_paths *paths, const char *path, struct op *op,
		 struct image_info *ret_info, struct error *err) MUST_USE;

/*
 * Makes an image of a root file system as one tar archive that is open: as if it were an image's
 * only layer. Name, source and config of `info` are the caller's; the rest is filled in.
 */
int image_from_root(const struct image_paths *paths, int tar_fd, struct op *op,
		    struct image_info *info, struct error *err) MUST_USE;

/*
 * Removes from the cache what nothing has used for `age_s` seconds: layers, empty disks, and kernel
 * builds that were broken off; *ret_bytes is what they take up. With `dry_run` they stay. Worker.
 */
int image_cache_prune(const struct image_paths *paths, int64_t age_s, bool dry_run,
		      uint64_t *ret_bytes, struct error *err) MUST_USE;

/* Imports Debian's cloud kernel from the host's apt sources: downloaded and unpacked, not
 * installed. */
int kernel_import_debian_cloud(const struct image_paths *paths, struct op *op,
			       struct kernel_info *ret_info, struct error *err) MUST_USE;

/* The same of Debian's kernel for all machines: larger, with more drivers. */
int kernel_import_debian(const struct image_paths *paths, struct op *op,
			 struct kernel_info *ret_info, struct error *err) MUST_USE;

/*
 * Builds the kernel `microvm` from Debian's package of kernel sources and our configuration, which
 * is a part of the program. Takes minutes of all processors, at the lowest priority. What was begun
 * stays in the cache and is gone on with; what was built once is found there.
 */
int kernel_build(const struct image_paths *paths, struct op *op, struct kernel_info *ret_info,
		 struct error *err) MUST_USE;

/*
 * A kernel from a file of this machine: an ELF vmlinux or a bzImage, as it is or compressed, or a
 * Debian package with one in it. `modules` (may be NULL) is a folder as /lib/modules/<release>, of
 * which those that a guest needs are taken. What the kernel lacks is listed in the error.
 */
int kernel_import_file(const struct image_paths *paths, const char *path, const char *modules,
		       struct op *op, struct kernel_info *ret_info, struct error *err) MUST_USE;

/* The same of a file that is downloaded (https) and must have this sha256 (64 digits). */
int kernel_import_url(const struct image_paths *paths, const struct registry_settings *settings,
		      const char *url, const char *sha256, struct op *op,
		      struct kernel_info *ret_info, struct error *err) MUST_USE;

/*
 * The same of a registry: an artifact whose file is the kernel ("ghcr.io/org/kernel@sha256:…", as
 * "oras push" makes it). The file stays in the cache.
 */
int kernel_pull(const struct image_paths *paths, const struct registry_settings *settings,
		const char *reference, struct op *op, struct kernel_info *ret_info,
		struct error *err) MUST_USE;

/* Absolute path of an image's root.squashfs or a kernel's vmlinux; the caller frees. NULL: out of
 * memory. */
char *image_rootfs_path(const struct image_paths *paths, const char *image_id);
char *kernel_vmlinux_path(const struct image_paths *paths, const char *kernel_id);

/*
 * The initramfs of a kernel: agent and modules, made on first use and kept in the cache by the hash
 * of both. The caller frees the path. Worker thread.
 */
int kernel_initramfs(const struct image_paths *paths, const char *kernel_id, char **ret_path,
		     struct error *err) MUST_USE;

/* Removes the files; absent is success. */
int image_remove(const struct image_paths *paths, const char *image_id, struct error *err);
int kernel_remove(const struct image_paths *paths, const char *kernel_id, struct error *err);
