/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images and kernels by name: what is there, and the operations that add and remove. The files are
 * server/image's; the rows are server/store's; here they are kept together. All on the loop's
 * thread.
 */
#pragma once

#include "server/catalog/names.h"
#include "server/events/events.h"
#include "server/image/image.h"
#include "server/ops/op.h"
#include "server/registry/fetch.h"
#include "server/store/images.h"

struct catalog;

/* Everything is borrowed for the life of the catalogue. */
struct catalog_config {
	struct loop *loop;
	struct ops *ops;
	struct store *store;
	struct events *events;
	const struct image_paths *paths;
	struct registry_settings registry;
	struct names names; /* the owner's catalog.list */
	bool auto_pull;     /* an image that a VM wants and that is not here is brought */
};

int catalog_new(const struct catalog_config *config, struct catalog **ret_catalog,
		struct error *err) MUST_USE;
void catalog_free(struct catalog *catalog);

/* Borrowed until the catalogue changes; NULL when there is none. */
const struct image_row *catalog_image(const struct catalog *catalog, const char *name);
const struct kernel_row *catalog_kernel(const struct catalog *catalog, const char *name);
/* A kernel by its id (digest); NULL when there is none. */
const struct kernel_row *catalog_kernel_by_id(const struct catalog *catalog, const char *id);
/* What a VM gets that names none; NULL while there is none at all. */
const struct kernel_row *catalog_default_kernel(const struct catalog *catalog);
const struct image_row *catalog_default_image(const struct catalog *catalog);

/* How registries are asked; borrowed. */
const struct registry_settings *catalog_registry(const struct catalog *catalog);
/* The owner's list of names, borrowed. */
const struct names *catalog_names(const struct catalog *catalog);

/* By name. */
size_t catalog_n_images(const struct catalog *catalog);
const struct image_row *catalog_image_at(const struct catalog *catalog, size_t i);
size_t catalog_n_kernels(const struct catalog *catalog);
const struct kernel_row *catalog_kernel_at(const struct catalog *catalog, size_t i);

/* Builders, by the word that a request uses ("mini", "debian"). `name` NULL: the builder's own
 * word. */
int catalog_build_image(struct catalog *catalog, const char *builder, const char *name,
			const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* From a registry; `name` NULL: the reference itself. */
int catalog_pull_image(struct catalog *catalog, const char *reference, const char *name,
		       const char *who, struct op **ret_op, struct error *err) MUST_USE;
/*
 * Begins to bring an image that is not here: one of the catalogue's names, or a reference that says
 * that it is one (with '/', ':' or '@'). 1 and the operation; 0: it is here, or nobody knows it.
 */
int catalog_want_image(struct catalog *catalog, const char *name, const char *who,
		       struct op **ret_op, struct error *err) MUST_USE;
/* From a file or folder of this machine, see image_import(). */
int catalog_import_image(struct catalog *catalog, const char *path, const char *name,
			 const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* Worker: gives what image.h has just made the name `info->name`, as stage "publish". */
int catalog_add_image(struct catalog *catalog, const struct image_info *info, const char *who,
		      struct op *op, struct error *err) MUST_USE;
/* Reads the whole image and holds it against its digest. */
int catalog_verify_image(struct catalog *catalog, const char *name, const char *who,
			 struct op **ret_op, struct error *err) MUST_USE;
/* See image_cache_prune(); the operation's result is {"bytes": …}. */
int catalog_prune_cache(struct catalog *catalog, int64_t age_s, bool dry_run, const char *who,
			struct op **ret_op, struct error *err) MUST_USE;

/* Where a kernel comes from: exactly one of `import`, `build`, `file`, `url` and `pull`. */
struct kernel_wish {
	const char *name;    /* may be NULL with the first two: their own word */
	const char *import;  /* "debian-cloud", "debian", or one of the catalogue's names */
	const char *build;   /* "microvm" */
	const char *file;    /* absolute path, see kernel_import_file() */
	const char *modules; /* absolute path, with `file`; may be NULL */
	const char *url;     /* see kernel_import_url() */
	const char *sha256;  /* with `url`: 64 digits */
	const char *pull;    /* see kernel_pull() */
};

const char *kernel_wish_name(const struct kernel_wish *wish);
int catalog_add_kernel(struct catalog *catalog, const struct kernel_wish *wish, const char *who,
		       struct op **ret_op, struct error *err) MUST_USE;

/* Another name for an image that is there; one that is taken goes over to it. */
int catalog_tag_image(struct catalog *catalog, const char *image, const char *name, const char *who,
		      struct error *err) MUST_USE;

/* Who else needs an image or kernel of the store: VMs and snapshots. `fn` says so of an id. */
typedef bool catalog_users_fn(void *data, const char *id);
void catalog_set_users(struct catalog *catalog, catalog_users_fn *fn, void *data);
bool catalog_used(const struct catalog *catalog, const char *id);
/* How many names an image has. */
size_t catalog_names_of(const struct catalog *catalog, const char *image_id);
/* What an image takes up on the disk. */
int catalog_image_bytes(const struct catalog *catalog, const char *image_id, uint64_t *ret_bytes,
			struct error *err) MUST_USE;

/*
 * Removes the files of images and kernels that nothing refers to and that are older than the time
 * of grace, in which a name may still be on its way to them. *ret_bytes is what they take up; with
 * `dry_run` they stay. On the loop's thread.
 */
enum { CATALOG_GRACE_S = 3600 };
int catalog_collect(struct catalog *catalog, int64_t grace_s, bool dry_run, uint64_t *ret_bytes,
		    struct error *err) MUST_USE;

/*
 * Forgets the name; the files go when no other name and no VM needs them. `in_use` tells whether a
 * VM uses an id; deletion is then refused by the caller beforehand, which knows by whom.
 */
int catalog_delete_image(struct catalog *catalog, const char *name, const char *who,
			 struct error *err) MUST_USE;
int catalog_delete_kernel(struct catalog *catalog, const char *name, const char *who,
			  struct error *err) MUST_USE;
