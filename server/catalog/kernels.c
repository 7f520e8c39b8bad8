/* SPDX-License-Identifier: Apache-2.0 */
/* Adding and removing kernels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/catalog/catalog_internal.h"
#include "server/catalog/remedies.h"

static const struct {
	const char *word;
	kernel_importer_fn *import;
} importers[] = {
	{ "debian-cloud", kernel_import_debian_cloud },
	{ "debian", kernel_import_debian },
}, builders[] = {
	{ "microvm", kernel_build },
};

static void publish_kernel(void *data)
{
	struct add_job *job = data;
	struct catalog *catalog = job->catalog;
	struct kernel_row row = { .size_bytes = (int64_t)job->kernel.size_bytes,
				  .created_ms = clock_wall_ms() };

	(void)snprintf(row.name, sizeof(row.name), "%s", job->name);
	(void)snprintf(row.id, sizeof(row.id), "%s", job->kernel.id);
	(void)snprintf(row.version, sizeof(row.version), "%s", job->kernel.version);
	(void)snprintf(row.source, sizeof(row.source), "%s", job->kernel.source);
	(void)snprintf(row.cmdline, sizeof(row.cmdline), "%s", job->kernel.cmdline);
	job->result = kernels_put(catalog->c.store, &row, &job->error);
	if (job->result == 0)
		job->result = catalog_reload(catalog, &job->error);
	if (job->result == 0)
		catalog_tell(catalog, "kernel.added", job->name, job->who, job->op_id);
}

static int run_import(struct op *op, void *data, struct error *err)
{
	struct add_job *job = data;
	const struct catalog_config *c = &job->catalog->c;
	int r;

	if (job->import)
		r = job->import(c->paths, op, &job->kernel, err);
	else if (job->pull)
		r = kernel_pull(c->paths, &c->registry, job->source, op, &job->kernel, err);
	else if (job->sha256[0])
		r = kernel_import_url(c->paths, &c->registry, job->source, job->sha256, op,
				      &job->kernel, err);
	else
		r = kernel_import_file(c->paths, job->source, job->modules[0] ? job->modules : NULL,
				       op, &job->kernel, err);
	if (r < 0) {
		(void)error_wrap(err, "kernel %s", job->name);
		return remedies_advise(
			job->import == kernel_build ? REMEDY_KERNEL_BUILD : REMEDY_KERNEL, err);
	}
	return catalog_publish(op, job, publish_kernel, err);
}

static kernel_importer_fn *find_importer(const struct kernel_wish *wish)
{
	if (wish->build) {
		for (size_t i = 0; i < ARRAY_SIZE(builders); i++)
			if (streq(builders[i].word, wish->build))
				return builders[i].import;
		return NULL;
	}
	for (size_t i = 0; wish->import && i < ARRAY_SIZE(importers); i++)
		if (streq(importers[i].word, wish->import))
			return importers[i].import;
	return NULL;
}

const char *kernel_wish_name(const struct kernel_wish *wish)
{
	return wish->name ? wish->name : wish->build ? wish->build : wish->import;
}

int catalog_add_kernel(struct catalog *catalog, const struct kernel_wish *wish, const char *who,
		       struct op **ret_op, struct error *err)
{
	kernel_importer_fn *import = find_importer(wish);
	const char *from = wish->file ? wish->file : wish->url ? wish->url : wish->pull;
	const char *sha256 = wish->url ? wish->sha256 : NULL;
	struct catalog_name known;
	struct reference ref;
	bool pull = wish->pull != NULL;
	struct add_job *job;

	if (!import && wish->import) {
		int r = names_find(&catalog->c.names, true, wish->import, &known, err);

		if (r < 0)
			return r;
		from = r > 0 ? known.source : NULL;
		sha256 = known.sha256;
		pull = r > 0 && !known.sha256[0];
	}
	if (!import && !from)
		return error_set(err, ERR_INVALID,
				 "/import: no kernel source '%s'; see GET /catalog",
				 wish->build ? wish->build : wish->import);
	if (!kernel_wish_name(wish))
		return error_set(err, ERR_INVALID, "/name: a kernel from a file needs one");
	if (wish->modules && !wish->file)
		return error_set(err, ERR_INVALID, "/modules: they go with a file");
	if (wish->sha256 && !wish->url)
		return error_set(err, ERR_INVALID, "/sha256: it goes with a url");
	if (wish->pull && reference_parse(wish->pull, &ref, err) < 0)
		return error_wrap(err, "/pull");
	job = calloc(1, sizeof(*job));
	if (!job)
		return error_errno(err, -ENOMEM, "kernel");
	job->import = import;
	job->pull = pull;
	(void)snprintf(job->source, sizeof(job->source), "%s", from ? from : "");
	(void)snprintf(job->modules, sizeof(job->modules), "%s",
		       wish->modules ? wish->modules : "");
	(void)snprintf(job->sha256, sizeof(job->sha256), "%s", sha256 ? sha256 : "");
	return catalog_submit(catalog, job, wish->build ? "kernel.build" : "kernel.import",
			      run_import, kernel_wish_name(wish), who, ret_op, err);
}

int catalog_delete_kernel(struct catalog *catalog, const char *name, const char *who,
			  struct error *err)
{
	const struct kernel_row *row = catalog_kernel(catalog, name);
	struct error ignored;
	char id[72];
	int r;

	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no kernel '%s'", name);
	(void)snprintf(id, sizeof(id), "%s", row->id);
	r = kernels_delete(catalog->c.store, name, err);
	if (r == 0)
		r = catalog_reload(catalog, err);
	if (r < 0)
		return r;
	if (!catalog_kernel_by_id(catalog, id) && !catalog_used(catalog, id) &&
	    kernel_remove(catalog->c.paths, id, &ignored) < 0)
		log_warn("remove kernel %s: %s", id, ignored.msg);
	catalog_tell(catalog, "kernel.deleted", name, who, NULL);
	return 0;
}
