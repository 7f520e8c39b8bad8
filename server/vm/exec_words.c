/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/exec_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/vm/vm_internal.h"

void exec_words_done(struct exec_words *words)
{
	json_decref(words->config);
	json_decref(words->argv);
	json_decref(words->env);
	free(words->cwd);
	*words = (struct exec_words){ .config = NULL };
}

/* Of the image that the VM was made of, which its name may no longer mean. New reference; NULL when
 * it is not known any more. */
static json_t *find_config(const struct vm *vm)
{
	const struct catalog *catalog = vm->vms->c.catalog;
	struct image_info info = { .name = "" };
	struct error ignored = ERROR_INIT;

	for (size_t i = 0; i < catalog_n_images(catalog); i++) {
		const struct image_row *row = catalog_image_at(catalog, i);

		if (streq(row->id, vm->row.image_id))
			return json_loads(row->config, 0, NULL);
	}
	return image_load(vm->vms->c.paths, vm->row.image_id, &info, &ignored) == 0 ? info.config
										    : NULL;
}

static int join_argv(const json_t *config, json_t **ret_argv, struct error *err)
{
	json_auto_t *argv = json_array();
	json_t *entrypoint = json_object_get(config, "entrypoint");
	json_t *cmd = json_object_get(config, "cmd");

	if (!argv || (entrypoint && json_array_extend(argv, entrypoint) < 0) ||
	    (cmd && json_array_extend(argv, cmd) < 0))
		return error_errno(err, -ENOMEM, "exec");
	if (json_array_size(argv) == 0)
		return error_set(err, ERR_INVALID, "/argv: the image names no command; give one");
	*ret_argv = json_incref(argv);
	return 0;
}

/* "NAME=value" of the image's list, then the caller's own over it. */
static int join_env(const json_t *config, const json_t *own, json_t **ret_env, struct error *err)
{
	json_auto_t *env = json_object();
	const json_t *pair;
	size_t i;

	json_array_foreach (json_object_get(config, "env"), i, pair) {
		const char *text = json_string_value(pair);
		const char *equals = text ? strchr(text, '=') : NULL;
		autofree char *name = NULL;

		if (!equals || equals == text)
			continue;
		name = strndup(text, (size_t)(equals - text));
		if (!name || json_object_set_new(env, name, json_string(equals + 1)) < 0)
			return error_errno(err, -ENOMEM, "exec");
	}
	if (!env || (own && json_object_update(env, (json_t *)(uintptr_t)own) < 0))
		return error_errno(err, -ENOMEM, "exec");
	*ret_env = json_incref(env);
	return 0;
}

/* The image's own folder is made where it is missing, as whoever runs images does; a client's is
 * not. */
static int join_cwd(const json_t *config, const char *own, char **ret_cwd, struct error *err)
{
	const char *image = json_string_value(json_object_get(config, "workdir"));
	const char *from = own ? own : image;
	size_t len = from ? strlen(from) : 0;

	if (!from)
		return 0;
	while (len > 1 && from[len - 1] == '/')
		len--;
	if (asprintf(ret_cwd, "%.*s%s", (int)len, from, own || streq(from, "/") ? "" : "/") < 0) {
		*ret_cwd = NULL;
		return error_errno(err, -ENOMEM, "exec");
	}
	return 0;
}

int vm_exec_words(struct vm *vm, struct guest_exec_spec *spec, struct exec_words *words,
		  struct error *err)
{
	int r = 0;

	words->config = find_config(vm);
	if (!spec->argv)
		r = join_argv(words->config, &words->argv, err);
	if (r == 0)
		r = join_env(words->config, spec->env, &words->env, err);
	if (r == 0)
		r = join_cwd(words->config, spec->cwd, &words->cwd, err);
	if (r < 0)
		return r;
	if (!spec->argv)
		spec->argv = words->argv;
	spec->env = words->env;
	spec->cwd = words->cwd;
	if (!spec->user)
		spec->user = json_string_value(json_object_get(words->config, "user"));
	return 0;
}
