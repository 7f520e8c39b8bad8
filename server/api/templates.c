/* SPDX-License-Identifier: Apache-2.0 */
/* /templates: what makes the next VM of a shape quick. */
#include "server/vm/standby.h"

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"

static json_t *template_json(const struct api *api, const struct template *one)
{
	const char *standby = standby_id(templates_standbys(api->templates), one->key);
	json_t *o = json_object();
	char when[32];

	(void)json_object_set_new(o, "id", json_string(one->key));
	(void)json_object_set_new(o, "image", json_string(one->image_name));
	(void)json_object_set_new(o, "vcpus", json_integer(one->vcpus));
	(void)json_object_set_new(o, "memory_mib", json_integer(one->memory_mib));
	(void)json_object_set_new(o, "disk_mib", json_integer(one->disk_mib));
	(void)json_object_set_new(o, "network", json_string(one->network));
	(void)json_object_set_new(o, "init", json_string(one->init));
	(void)json_object_set_new(o, "size_bytes", json_integer(one->size_bytes));
	(void)json_object_set_new(o, "pinned", json_boolean(one->pinned));
	(void)json_object_set_new(o, "standby", standby ? json_string(standby) : json_null());
	(void)json_object_set_new(o, "created",
				  json_string(clock_format_ms(one->created_ms, when)));
	(void)json_object_set_new(o, "last_used", json_string(clock_format_ms(one->used_ms, when)));
	return o;
}

void api_template_list(struct http_request *req, void *context)
{
	struct api *api = context;
	json_t *items = json_array();
	const struct template *one;

	for (size_t i = 0; (one = templates_at(api->templates, i)) != NULL; i++)
		(void)json_array_append_new(items, template_json(api, one));
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}

/* --- make --- */

struct create_body {
	const char *image;
	const char *kernel;
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t disk_mib;
	const char *network;
	const char *init;
	bool pinned;
};

#define FIELD(kind, member)                                                             \
	{                                                                               \
#member, JSON_FIELD_##kind, offsetof(struct create_body, member), false \
	}
static const struct json_field create_fields[] = {
	FIELD(STRING, image), FIELD(STRING, kernel),  FIELD(U32, vcpus),   FIELD(U32, memory_mib),
	FIELD(U32, disk_mib), FIELD(STRING, network), FIELD(STRING, init), FIELD(BOOL, pinned),
};
#undef FIELD

static void reply_template(struct http_request *req, struct api *api, const char *key, int status)
{
	const struct template *one = templates_find(api->templates, key);
	struct error err;

	if (one) {
		http_reply_json(req, status, template_json(api, one));
		return;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "no template '%.64s'", key);
	http_reply_error(req, &err, NULL);
}

static void prepared(struct http_request *req, struct api *api, const char *key)
{
	reply_template(req, api, key, 201);
}

void api_template_create(struct http_request *req, void *context)
{
	struct api *api = context;
	struct create_body b = { .pinned = false };
	char key[TEMPLATE_KEY_LEN + 1];
	struct vm_spec spec;
	struct vm_row shape;
	struct op *op = NULL;
	struct error err;
	int r = json_decode(http_body(req), create_fields, ARRAY_SIZE(create_fields), &b, &err);

	spec = (struct vm_spec){ .image = b.image,
				 .kernel = b.kernel,
				 .vcpus = b.vcpus,
				 .memory_mib = b.memory_mib,
				 .disk_mib = b.disk_mib,
				 .network = b.network,
				 .init = b.init };
	if (r == 0)
		r = vm_shape(api->vms, &spec, &shape, &err);
	if (r == 0)
		r = templates_build(api->templates, &shape, b.pinned, http_principal(req), &op,
				    &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	templates_key(api->templates, &shape, key);
	if (op)
		api_reply_when_done(req, api, op, prepared, key, NULL);
	else if (b.pinned && templates_pin(api->templates, key, true, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		reply_template(req, api, key, 200);
}

void api_template_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	struct error err;

	if (templates_delete(api->templates, http_param(req, "template"), http_principal(req),
			     &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_empty(req, 204);
}

void api_template_update(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_param(req, "template");
	bool pinned = json_is_true(json_object_get(http_body(req), "pinned"));
	struct error err;

	if (templates_pin(api->templates, id, pinned, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 200, template_json(api, templates_find(api->templates, id)));
}
