/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the catalogue share. */
#pragma once

#include "lib/digest/digest.h"
#include "server/catalog/catalog.h"

struct catalog {
	struct catalog_config c;
	struct image_row *images;
	size_t n_images;
	struct kernel_row *kernels;
	size_t n_kernels;
	catalog_users_fn *users; /* NULL: nobody */
	void *users_data;
};

typedef int image_builder_fn(const struct image_paths *paths, struct op *op,
			     struct image_info *ret_info, struct error *err);
typedef int kernel_importer_fn(const struct image_paths *paths, struct op *op,
			       struct kernel_info *ret_info, struct error *err);

/* What an operation of the catalogue works on: its own copy of everything. */
struct add_job {
	struct catalog *catalog;
	char name[256];
	char who[128];
	image_builder_fn *build;
	kernel_importer_fn *import;
	char source[4096]; /* of a pull: the reference; of an import: the path or address */
	char modules[4096];
	char sha256[DIGEST_HEX + 1];
	bool pull;     /* of a kernel: `source` is a reference */
	int64_t age_s; /* of a pruning, as the next */
	bool dry_run;
	uint64_t bytes; /* that a pruning has found */
	struct image_info image;
	struct kernel_info kernel;
	const char *op_id;
	struct error error; /* of what runs on the loop's thread */
	int result;
};

/* Reads all rows again: simple, and names change rarely. */
int catalog_reload(struct catalog *catalog, struct error *err) MUST_USE;
/* An event of a name. */
void catalog_tell(struct catalog *catalog, const char *kind, const char *name, const char *who,
		  const char *op);
/* Takes over `job`. Operations of the same kind and name run one after the other. */
int catalog_submit(struct catalog *catalog, struct add_job *job, const char *kind, op_run_fn *run,
		   const char *name, const char *who, struct op **ret_op,
		   struct error *err) MUST_USE;
/* Worker: stage "publish", `fn` on the loop's thread; its result is in the job. */
int catalog_publish(struct op *op, struct add_job *job, loop_fn *fn, struct error *err) MUST_USE;
