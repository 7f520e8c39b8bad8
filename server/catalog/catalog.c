/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/catalog/catalog_internal.h"
#include "server/catalog/remedies.h"

/* --- what is there --- */

static int add_image(const struct image_row *row, void *data, struct error *err)
{
	struct catalog *catalog = data;
	struct image_row *bigger =
		reallocarray(catalog->images, catalog->n_images + 1, sizeof(*bigger));

	if (!bigger)
		return error_errno(err, -ENOMEM, "images");
	catalog->images = bigger;
	catalog->images[catalog->n_images++] = *row;
	return 0;
}

static int add_kernel(const struct kernel_row *row, void *data, struct error *err)
{
	struct catalog *catalog = data;
	struct kernel_row *bigger =
		reallocarray(catalog->kernels, catalog->n_kernels + 1, sizeof(*bigger));

	if (!bigger)
		return error_errno(err, -ENOMEM, "kernels");
	catalog->kernels = bigger;
	catalog->kernels[catalog->n_kernels++] = *row;
	return 0;
}

int catalog_reload(struct catalog *catalog, struct error *err)
{
	int r;

	catalog->n_images = 0;
	catalog->n_kernels = 0;
	r = images_each(catalog->c.store, add_image, catalog, err);
	if (r == 0)
		r = kernels_each(catalog->c.store, add_kernel, catalog, err);
	return r;
}

int catalog_new(const struct catalog_config *config, struct catalog **ret_catalog,
		struct error *err)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	int r;

	if (!catalog)
		return error_errno(err, -ENOMEM, "catalogue");
	catalog->c = *config;
	r = catalog_reload(catalog, err);
	if (r < 0) {
		catalog_free(catalog);
		return r;
	}
	*ret_catalog = catalog;
	return 0;
}

void catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	free(catalog->images);
	free(catalog->kernels);
	free(catalog);
}

const struct image_row *catalog_image(const struct catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->n_images; i++)
		if (streq(catalog->images[i].name, name))
			return &catalog->images[i];
	return NULL;
}

const struct kernel_row *catalog_kernel(const struct catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->n_kernels; i++)
		if (streq(catalog->kernels[i].name, name))
			return &catalog->kernels[i];
	return NULL;
}

const struct kernel_row *catalog_kernel_by_id(const struct catalog *catalog, const char *id)
{
	for (size_t i = 0; i < catalog->n_kernels; i++)
		if (streq(catalog->kernels[i].id, id))
			return &catalog->kernels[i];
	return NULL;
}

/* The newest: what was added last is what its owner wants from then on. */
const struct kernel_row *catalog_default_kernel(const struct catalog *catalog)
{
	const struct kernel_row *best = NULL;

	for (size_t i = 0; i < catalog->n_kernels; i++)
		if (!best || catalog->kernels[i].created_ms > best->created_ms)
			best = &catalog->kernels[i];
	return best;
}

const struct image_row *catalog_default_image(const struct catalog *catalog)
{
	const struct image_row *best = catalog_image(catalog, "debian");

	if (!best)
		best = catalog_image(catalog, "mini");
	if (!best && catalog->n_images > 0)
		best = &catalog->images[0];
	return best;
}

const struct registry_settings *catalog_registry(const struct catalog *catalog)
{
	return &catalog->c.registry;
}

const struct names *catalog_names(const struct catalog *catalog)
{
	return &catalog->c.names;
}

size_t catalog_n_images(const struct catalog *catalog)
{
	return catalog->n_images;
}

const struct image_row *catalog_image_at(const struct catalog *catalog, size_t i)
{
	return &catalog->images[i];
}

size_t catalog_n_kernels(const struct catalog *catalog)
{
	return catalog->n_kernels;
}

const struct kernel_row *catalog_kernel_at(const struct catalog *catalog, size_t i)
{
	return &catalog->kernels[i];
}

/* --- adding --- */

static const struct {
	const char *word;
	image_builder_fn *build;
} image_builders[] = {
	{ "mini", image_build_mini },
	{ "debian", image_build_debian },
};

static void add_job_free(void *data)
{
	struct add_job *job = data;

	image_info_done(&job->image);
	free(job);
}

void catalog_tell(struct catalog *catalog, const char *kind, const char *name, const char *who,
		  const char *op)
{
	events_emit(catalog->c.events, &(struct event){ .kind = kind,
							.target = name,
							.target_name = name,
							.by = who,
							.operation = op });
}

static void publish_image(void *data)
{
	struct add_job *job = data;
	struct catalog *catalog = job->catalog;
	struct image_row row = { .size_bytes = (int64_t)job->image.size_bytes,
				 .created_ms = clock_wall_ms() };
	autofree char *config = job->image.config ? json_text(job->image.config) : strdup("{}");

	if (!config || strlen(config) >= sizeof(row.config)) {
		job->result = error_set(&job->error, ERR_TOO_LARGE,
					"the image's configuration is too large");
		return;
	}
	(void)snprintf(row.name, sizeof(row.name), "%s", job->name);
	(void)snprintf(row.id, sizeof(row.id), "%s", job->image.id);
	(void)snprintf(row.source, sizeof(row.source), "%s", job->image.source);
	(void)snprintf(row.config, sizeof(row.config), "%s", config);
	job->result = images_put(catalog->c.store, &row, &job->error);
	if (job->result == 0)
		job->result = catalog_reload(catalog, &job->error);
	if (job->result == 0)
		catalog_tell(catalog, "image.added", job->name, job->who, job->op_id);
}

int catalog_publish(struct op *op, struct add_job *job, loop_fn *fn, struct error *err)
{
	int r;

	op_stage(op, "publish");
	job->op_id = op_id(op);
	r = loop_call(job->catalog->c.loop, fn, job);
	if (r < 0)
		return error_errno(err, r, "publish %s", job->name);
	if (job->result < 0)
		*err = job->error;
	return job->result;
}

static int run_build(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	int r = job->build(job->catalog->c.paths, op, &job->image, err);

	if (r < 0) {
		(void)error_wrap(err, "build image %s", job->name);
		return remedies_advise(REMEDY_IMAGE_BUILD, err);
	}
	return catalog_publish(op, job, publish_image, err);
}

static int run_pull(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	const struct catalog_config *c = &job->catalog->c;
	int r = image_pull(c->paths, &c->registry, job->source, op, &job->image, err);

	if (r < 0) {
		(void)error_wrap(err, "pull %s", job->source);
		return remedies_advise(REMEDY_PULL, err);
	}
	return catalog_publish(op, job, publish_image, err);
}

static int run_import_image(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	int r = image_import(job->catalog->c.paths, job->source, op, &job->image, err);

	if (r < 0) {
		(void)error_wrap(err, "import image %s", job->name);
		return remedies_advise(REMEDY_IMPORT, err);
	}
	return catalog_publish(op, job, publish_image, err);
}

int catalog_add_image(struct catalog *catalog, const struct image_info *info, const char *who,
		      struct op *op, struct error *err)
{
	autofree struct add_job *job = calloc(1, sizeof(*job));

	if (!job)
		return error_errno(err, -ENOMEM, "image");
	job->catalog = catalog;
	job->image = *info; /* borrowed */
	(void)snprintf(job->name, sizeof(job->name), "%s", info->name);
	(void)snprintf(job->who, sizeof(job->who), "%s", who);
	return catalog_publish(op, job, publish_image, err);
}

static int run_verify(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	int r;

	op_stage(op, "verify");
	r = image_verify(job->catalog->c.paths, job->image.id, err);
	return r < 0 ? error_wrap(err, "verify image %s", job->name) : 0;
}

/* On the loop's thread, where nobody can begin to use what is looked at. */
static void collect(void *data)
{
	struct add_job *job = data;

	job->result = catalog_collect(job->catalog, CATALOG_GRACE_S, job->dry_run, &job->bytes,
				      &job->error);
}

static int run_prune(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	uint64_t bytes = 0;
	int r;

	op_stage(op, "prune");
	r = image_cache_prune(job->catalog->c.paths, job->age_s, job->dry_run, &bytes, err);
	if (r < 0)
		return r;
	op_stage(op, "collect");
	r = loop_call(job->catalog->c.loop, collect, job);
	if (r < 0)
		return error_errno(err, r, "collect");
	if (job->result < 0) {
		*err = job->error;
		return job->result;
	}
	op_set_result(op, json_pack("{s:I}", "bytes", (json_int_t)bytes + (json_int_t)job->bytes));
	return 0;
}

int catalog_submit(struct catalog *catalog, struct add_job *job, const char *kind, op_run_fn *run,
		   const char *name, const char *who, struct op **ret_op, struct error *err)
{
	char queue[300];
	struct op_spec spec = { .kind = kind,
				.target = name,
				.target_name = name,
				.queue = queue,
				.request_by = who,
				.run = run,
				.data = job,
				.free_data = add_job_free };

	job->catalog = catalog;
	(void)snprintf(job->name, sizeof(job->name), "%s", name);
	(void)snprintf(job->who, sizeof(job->who), "%s", who);
	/* One after the other by name: a second builder of the same thing finds the first one's
	 * work done. */
	(void)snprintf(queue, sizeof(queue), "%s:%s", kind, name);
	return ops_submit(catalog->c.ops, &spec, ret_op, err);
}

int catalog_build_image(struct catalog *catalog, const char *builder, const char *name,
			const char *who, struct op **ret_op, struct error *err)
{
	struct add_job *job;

	for (size_t i = 0; i < ARRAY_SIZE(image_builders); i++) {
		if (!streq(image_builders[i].word, builder))
			continue;
		job = calloc(1, sizeof(*job));
		if (!job)
			return error_errno(err, -ENOMEM, "image");
		job->build = image_builders[i].build;
		return catalog_submit(catalog, job, "image.build", run_build, name ? name : builder,
				      who, ret_op, err);
	}
	return error_set(err, ERR_INVALID, "no image builder '%s'", builder);
}

int catalog_pull_image(struct catalog *catalog, const char *reference, const char *name,
		       const char *who, struct op **ret_op, struct error *err)
{
	struct catalog_name known;
	struct reference ref;
	struct add_job *job;
	int r = names_find(&catalog->c.names, false, reference, &known, err);

	if (r < 0)
		return r;
	if (!name)
		name = reference;
	if (r > 0 && known.kind == NAME_IMAGE)
		reference = known.source;
	r = reference_parse(reference, &ref, err);
	if (r < 0)
		return error_wrap(err, "/pull");
	job = calloc(1, sizeof(*job));
	if (!job)
		return error_errno(err, -ENOMEM, "image");
	(void)snprintf(job->source, sizeof(job->source), "%s", reference);
	return catalog_submit(catalog, job, "image.pull", run_pull, name, who, ret_op, err);
}

int catalog_want_image(struct catalog *catalog, const char *name, const char *who,
		       struct op **ret_op, struct error *err)
{
	struct catalog_name known;
	int r;

	if (!catalog->c.auto_pull || catalog_image(catalog, name))
		return 0;
	r = names_find(&catalog->c.names, false, name, &known, err);
	if (r < 0)
		return r;
	if (r > 0 && known.kind == NAME_BUILT_IMAGE)
		r = catalog_build_image(catalog, known.source, name, who, ret_op, err);
	else if (r > 0 || strpbrk(name, "/:@"))
		r = catalog_pull_image(catalog, name, NULL, who, ret_op, err);
	else
		return 0;
	return r < 0 ? r : 1;
}

int catalog_import_image(struct catalog *catalog, const char *path, const char *name,
			 const char *who, struct op **ret_op, struct error *err)
{
	struct add_job *job = calloc(1, sizeof(*job));

	if (!job)
		return error_errno(err, -ENOMEM, "image");
	(void)snprintf(job->source, sizeof(job->source), "%s", path);
	return catalog_submit(catalog, job, "image.import", run_import_image, name, who, ret_op,
			      err);
}

int catalog_verify_image(struct catalog *catalog, const char *name, const char *who,
			 struct op **ret_op, struct error *err)
{
	const struct image_row *row = catalog_image(catalog, name);
	struct add_job *job;

	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no image '%s'", name);
	job = calloc(1, sizeof(*job));
	if (!job)
		return error_errno(err, -ENOMEM, "image");
	(void)snprintf(job->image.id, sizeof(job->image.id), "%s", row->id);
	return catalog_submit(catalog, job, "image.verify", run_verify, name, who, ret_op, err);
}

int catalog_prune_cache(struct catalog *catalog, int64_t age_s, bool dry_run, const char *who,
			struct op **ret_op, struct error *err)
{
	struct add_job *job = calloc(1, sizeof(*job));

	if (!job)
		return error_errno(err, -ENOMEM, "cache");
	job->age_s = age_s;
	job->dry_run = dry_run;
	return catalog_submit(catalog, job, "cache.prune", run_prune, "cache", who, ret_op, err);
}

/* --- removing --- */

int catalog_delete_image(struct catalog *catalog, const char *name, const char *who,
			 struct error *err)
{
	const struct image_row *row = catalog_image(catalog, name);
	struct error ignored;
	char id[72];
	int r;

	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no image '%s'", name);
	(void)snprintf(id, sizeof(id), "%s", row->id);
	r = images_delete(catalog->c.store, name, err);
	if (r == 0)
		r = catalog_reload(catalog, err);
	if (r < 0)
		return r;
	if (catalog_names_of(catalog, id) == 0 && !catalog_used(catalog, id) &&
	    image_remove(catalog->c.paths, id, &ignored) < 0)
		log_warn("remove image %s: %s", id, ignored.msg);
	catalog_tell(catalog, "image.deleted", name, who, NULL);
	return 0;
}
