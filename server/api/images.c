/* SPDX-License-Identifier: Apache-2.0 */
/* /images and /kernels: what VMs start from. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/vm/promote.h"

/* Ids of the VMs for which `uses` says so. */
typedef bool uses_fn(const struct vm_row *row, const char *key);

static json_t *users(struct api *api, uses_fn *uses, const char *key)
{
	json_t *list = json_array();

	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm))
		if (uses(vm_row(vm), key))
			(void)json_array_append_new(list, json_string(vm_row(vm)->id));
	return list;
}

static bool uses_image(const struct vm_row *row, const char *name)
{
	return streq(row->image_name, name);
}

static bool uses_kernel(const struct vm_row *row, const char *id)
{
	return streq(row->kernel_id, id);
}

/* "sha256-…" as files are named; "sha256:…" as digests are written. */
static json_t *digest_json(const char *id)
{
	return json_sprintf("sha256:%s", str_has_prefix(id, "sha256-") ? id + 7 : id);
}

/* ERR_BUSY naming the first of them unless the list is empty. Takes over the list. */
static int refuse_if_used(struct api *api, json_t *list, const char *what, const char *name,
			  struct error *err)
{
	size_t n = json_array_size(list);
	int r = 0;

	if (n > 0) {
		struct vm *vm = vms_find(api->vms, json_string_value(json_array_get(list, 0)));

		r = error_set(err, ERR_STATE,
			      "%s '%s' is used by %zu VM%s, '%s' among them; delete them first",
			      what, name, n, n == 1 ? "" : "s", vm_row(vm)->name);
	}
	json_decref(list);
	return r;
}

/* The one at place `i` in the order of names; false behind the last. `ret_view` may be NULL. */
typedef bool row_at_fn(struct api *api, size_t i, const char **ret_name, json_t **ret_view);

static void reply_names(struct http_request *req, struct api *api, row_at_fn *row_at)
{
	const char *cursor = http_query(req, "cursor");
	size_t limit = (size_t)api_query_number(req, "limit", 100);
	json_t *items = json_array();
	const char *last = NULL;
	const char *name;
	size_t i = 0;

	while (cursor && row_at(api, i, &name, NULL) && strcmp(name, cursor) <= 0)
		i++;
	for (json_t *view; json_array_size(items) < limit && row_at(api, i, &name, &view); i++) {
		(void)json_array_append_new(items, view);
		last = name;
	}
	api_reply_page(req, items, row_at(api, i, &name, NULL) ? last : NULL);
}

/* --- images --- */

static json_t *image_json(struct api *api, const struct image_row *row)
{
	json_t *o = json_object();
	char when[32];

	(void)json_object_set_new(o, "name", json_string(row->name));
	(void)json_object_set_new(o, "digest", digest_json(row->id));
	(void)json_object_set_new(o, "source", json_string(row->source));
	(void)json_object_set_new(o, "size_bytes", json_integer(row->size_bytes));
	(void)json_object_set_new(o, "created",
				  json_string(clock_format_ms(row->created_ms, when)));
	(void)json_object_set_new(o, "used_by", users(api, uses_image, row->name));
	return o;
}

static void reply_image(struct http_request *req, struct api *api, const char *name, int status)
{
	const struct image_row *row = catalog_image(api->catalog, name);
	struct error err;

	if (row) {
		json_t *o = image_json(api, row);

		(void)json_object_set_new(o, "config", json_loads(row->config, 0, NULL));
		http_reply_json(req, status, o);
		return;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "no image '%s'", name);
	http_reply_error(req, &err, NULL);
}

static bool image_at(struct api *api, size_t i, const char **ret_name, json_t **ret_view)
{
	const struct image_row *row;

	if (i >= catalog_n_images(api->catalog))
		return false;
	row = catalog_image_at(api->catalog, i);
	*ret_name = row->name;
	if (ret_view)
		*ret_view = image_json(api, row);
	return true;
}

void api_image_list(struct http_request *req, void *context)
{
	reply_names(req, context, image_at);
}

void api_image_get(struct http_request *req, void *context)
{
	reply_image(req, context, http_param(req, "image"), 200);
}

static void image_created(struct http_request *req, struct api *api, const char *name)
{
	reply_image(req, api, name, 201);
}

/* A slash in a name is no slash of the path. */
static void image_location(const char *name, char *location, size_t size)
{
	size_t n = (size_t)snprintf(location, size, "/images/");

	for (; *name && n + 4 < size; name++) {
		if (*name == '/')
			n += (size_t)snprintf(location + n, size - n, "%%2F");
		else
			location[n++] = *name;
	}
	location[n] = '\0';
}

/* What the owner's files hold is not for everybody who may run VMs. */
static int import_image(struct http_request *req, struct api *api, const char *path,
			const char *name, struct op **ret_op, struct error *err)
{
	if (http_scope(req) < HTTP_SCOPE_ADMIN)
		return error_set(err, ERR_FORBIDDEN,
				 "/import: reading files of the server needs the scope admin");
	if (!name)
		return error_set(err, ERR_INVALID, "/name: an image that is imported needs one");
	return catalog_import_image(api->catalog, path, name, http_principal(req), ret_op, err);
}

static int promote_vm(struct http_request *req, struct api *api, const char *ref, const char *name,
		      struct op **ret_op, struct error *err)
{
	struct vm *vm = NULL;
	int r;

	if (!name)
		return error_set(err, ERR_INVALID, "/name: an image of a VM needs one");
	r = vms_get(api->vms, ref, &vm, err);
	if (r < 0)
		return error_wrap(err, "/from_vm");
	return vm_promote(vm, name, http_principal(req), ret_op, err);
}

void api_image_create(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *body = http_body(req);
	const char *builder = json_string_value(json_object_get(body, "build"));
	const char *reference = json_string_value(json_object_get(body, "pull"));
	const char *path = json_string_value(json_object_get(body, "import"));
	const char *vm = json_string_value(json_object_get(body, "from_vm"));
	const char *name = json_string_value(json_object_get(body, "name"));
	const char *who = http_principal(req);
	struct op *op = NULL;
	struct error err;
	char location[800];
	int r;

	if (path)
		r = import_image(req, api, path, name, &op, &err);
	else if (vm)
		r = promote_vm(req, api, vm, name, &op, &err);
	else if (reference)
		r = catalog_pull_image(api->catalog, reference, name, who, &op, &err);
	else
		r = catalog_build_image(api->catalog, builder, name, who, &op, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (!name)
		name = reference ? reference : builder;
	image_location(name, location, sizeof(location));
	api_reply_when_done(req, api, op, image_created, name, location);
}

static void image_verified(struct http_request *req, struct api *api, const char *name)
{
	reply_image(req, api, name, 200);
}

void api_image_verify(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *name = http_param(req, "image");
	struct op *op = NULL;
	struct error err;

	if (catalog_verify_image(api->catalog, name, http_principal(req), &op, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, image_verified, name, NULL);
}

void api_image_tag(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *name = json_string_value(json_object_get(http_body(req), "name"));
	struct error err;
	char location[800];

	if (catalog_tag_image(api->catalog, http_param(req, "image"), name, http_principal(req),
			      &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	image_location(name, location, sizeof(location));
	http_reply_header(req, "Location", location);
	reply_image(req, api, name, 201);
}

void api_image_size(struct http_request *req, void *context)
{
	struct api *api = context;
	const struct image_row *row = catalog_image(api->catalog, http_param(req, "image"));
	struct error err;
	uint64_t bytes = 0;
	bool shared;
	int r;

	if (!row)
		r = error_set(&err, ERR_NOT_FOUND, "no image '%s'", http_param(req, "image"));
	else
		r = catalog_image_bytes(api->catalog, row->id, &bytes, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	shared = catalog_names_of(api->catalog, row->id) > 1;
	http_reply_json(
		req, 200,
		json_pack("{s:I, s:I, s:I}", "real_bytes", (json_int_t)bytes, "shared_bytes",
			  (json_int_t)(shared ? bytes : 0), "freed_bytes",
			  (json_int_t)(shared || catalog_used(api->catalog, row->id) ? 0 : bytes)));
}

/* --- the catalogue of names --- */

struct naming {
	struct api *api;
	json_t *items;
};

static int add_name(const struct catalog_name *name, void *data)
{
	static const char *const kinds[] = { "image", "image", "kernel" };
	const struct naming *n = data;
	bool kernel = name->kind == NAME_KERNEL;
	bool here = kernel ? catalog_kernel(n->api->catalog, name->name) != NULL
			   : catalog_image(n->api->catalog, name->name) != NULL;
	json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:b, s:b}", "name", name->name, "kind",
			      kinds[name->kind], "source", name->source, "own", name->own, "here",
			      here, "pinned", name->pinned);

	if (o && name->kind == NAME_BUILT_IMAGE)
		(void)json_object_set_new(o, "source", json_string("built on this machine"));
	if (o && name->sha256[0])
		(void)json_object_set_new(o, "sha256", json_string(name->sha256));
	return json_array_append_new(n->items, o) < 0 ? -ENOMEM : 0;
}

void api_catalog_list(struct http_request *req, void *context)
{
	struct api *api = context;
	struct naming n = { .api = api, .items = json_array() };
	struct error err = ERROR_INIT;

	if (names_each(catalog_names(api->catalog), add_name, &n, &err) < 0) {
		json_decref(n.items);
		if (err.code == ERR_NONE)
			(void)error_errno(&err, -ENOMEM, "catalogue");
		http_reply_error(req, &err, NULL);
		return;
	}
	http_reply_json(req, 200, json_pack("{s:o}", "items", n.items));
}

/* --- the cache --- */

static void cache_pruned(struct http_request *req, struct api *api, const char *op_id_text)
{
	http_reply_json(req, 200, api_operation_json(ops_find(api->ops, op_id_text)));
}

void api_cache_prune(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *body = http_body(req);
	const json_t *age = json_object_get(body, "unused_s");
	struct op *op = NULL;
	struct error err;

	if (catalog_prune_cache(api->catalog, json_integer_value(age),
				json_is_true(json_object_get(body, "dry_run")), http_principal(req),
				&op, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, cache_pruned, op_id(op), NULL);
}

void api_image_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *name = http_param(req, "image");
	struct error err;
	int r = refuse_if_used(api, users(api, uses_image, name), "image", name, &err);

	if (r == 0)
		r = catalog_delete_image(api->catalog, name, http_principal(req), &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_empty(req, 204);
}

/* --- kernels --- */

static json_t *kernel_json(struct api *api, const struct kernel_row *row)
{
	json_t *o = json_object();
	char when[32];

	(void)json_object_set_new(o, "name", json_string(row->name));
	(void)json_object_set_new(o, "version", json_string(row->version));
	(void)json_object_set_new(o, "source", json_string(row->source));
	(void)json_object_set_new(o, "size_bytes", json_integer(row->size_bytes));
	(void)json_object_set_new(o, "created",
				  json_string(clock_format_ms(row->created_ms, when)));
	(void)json_object_set_new(o, "default",
				  json_boolean(catalog_default_kernel(api->catalog) == row));
	(void)json_object_set_new(o, "used_by", users(api, uses_kernel, row->id));
	return o;
}

static void reply_kernel(struct http_request *req, struct api *api, const char *name, int status)
{
	const struct kernel_row *row = catalog_kernel(api->catalog, name);
	struct error err;

	if (row) {
		http_reply_json(req, status, kernel_json(api, row));
		return;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "no kernel '%s'", name);
	http_reply_error(req, &err, NULL);
}

static bool kernel_at(struct api *api, size_t i, const char **ret_name, json_t **ret_view)
{
	const struct kernel_row *row;

	if (i >= catalog_n_kernels(api->catalog))
		return false;
	row = catalog_kernel_at(api->catalog, i);
	*ret_name = row->name;
	if (ret_view)
		*ret_view = kernel_json(api, row);
	return true;
}

void api_kernel_list(struct http_request *req, void *context)
{
	reply_names(req, context, kernel_at);
}

void api_kernel_get(struct http_request *req, void *context)
{
	reply_kernel(req, context, http_param(req, "kernel"), 200);
}

static void kernel_created(struct http_request *req, struct api *api, const char *name)
{
	reply_kernel(req, api, name, 201);
}

static const char *text_of(const json_t *body, const char *key)
{
	return json_string_value(json_object_get(body, key));
}

void api_kernel_create(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *body = http_body(req);
	const struct kernel_wish wish = { .name = text_of(body, "name"),
					  .import = text_of(body, "import"),
					  .build = text_of(body, "build"),
					  .file = text_of(body, "file"),
					  .modules = text_of(body, "modules"),
					  .url = text_of(body, "url"),
					  .sha256 = text_of(body, "sha256"),
					  .pull = text_of(body, "pull") };
	struct op *op = NULL;
	struct error err;
	char location[300];
	int r;

	/* What the owner's files hold is not for everybody who may run VMs. */
	if (wish.file && http_scope(req) < HTTP_SCOPE_ADMIN)
		r = error_set(&err, ERR_FORBIDDEN,
			      "/file: reading files of the server needs the scope admin");
	else
		r = catalog_add_kernel(api->catalog, &wish, http_principal(req), &op, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	(void)snprintf(location, sizeof(location), "/kernels/%s", kernel_wish_name(&wish));
	api_reply_when_done(req, api, op, kernel_created, kernel_wish_name(&wish), location);
}

void api_kernel_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *name = http_param(req, "kernel");
	const struct kernel_row *row = catalog_kernel(api->catalog, name);
	struct error err;
	int r = row ? refuse_if_used(api, users(api, uses_kernel, row->id), "kernel", name, &err)
		    : 0;

	if (r == 0)
		r = catalog_delete_kernel(api->catalog, name, http_principal(req), &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_empty(req, 204);
}
