/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

const char oci_manifest_types[] = "application/vnd.oci.image.index.v1+json, "
				  "application/vnd.docker.distribution.manifest.list.v2+json, "
				  "application/vnd.oci.image.manifest.v1+json, "
				  "application/vnd.docker.distribution.manifest.v2+json";

/* What we keep of a configuration must fit into a row of the store. */
enum { CONFIG_TEXT_MAX = 15000, LIST_MAX = 1000 };

void oci_manifest_done(struct oci_manifest *manifest)
{
	free(manifest->layers);
	manifest->layers = NULL;
	manifest->n_layers = 0;
}

const char *oci_host_arch(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#else
#error "add the name that images have for this machine"
#endif
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* A descriptor: digest and size. */
static int parse_blob(const json_t *descriptor, const char *what, struct oci_blob *ret_blob,
		      struct error *err)
{
	const char *digest = text_of(descriptor, "digest");
	const json_t *size = json_object_get(descriptor, "size");

	if (!oci_digest_valid(digest))
		return error_set(err, ERR_UPSTREAM, "%s: '%.80s' is no sha256 digest", what,
				 digest);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return error_set(err, ERR_UPSTREAM, "%s: a descriptor without size", what);
	(void)snprintf(ret_blob->digest, sizeof(ret_blob->digest), "%s", digest);
	ret_blob->size = (uint64_t)json_integer_value(size);
	return 0;
}

/* --- indexes --- */

/* Of a machine's variants ("v2", "v3"), the one that asks the least of it; none asks nothing. */
static bool asks_less(const json_t *platform, const json_t *than)
{
	return strcmp(text_of(platform, "variant"), text_of(than, "variant")) < 0;
}

static int choose(const json_t *manifests, const char *arch, struct oci_manifest *m,
		  struct error *err)
{
	char seen[200] = "";
	const json_t *one, *best = NULL;
	size_t i, count = json_array_size(manifests);

	if (count > OCI_INDEX_MAX)
		return error_set(err, ERR_TOO_LARGE, "index: %zu manifests", count);
	json_array_foreach (manifests, i, one) {
		const json_t *platform = json_object_get(one, "platform");
		const char *os = text_of(platform, "os");
		const char *cpu = text_of(platform, "architecture");
		size_t n = strlen(seen);

		/* An index of one image need not say which machine it is for. */
		if ((streq(os, "linux") && streq(cpu, arch)) || (!platform && count == 1)) {
			if (!best || asks_less(platform, json_object_get(best, "platform")))
				best = one;
		} else if (*os && *cpu && !streq(os, "unknown")) {
			(void)snprintf(seen + n, sizeof(seen) - n, "%s%.16s/%.16s", n ? ", " : "",
				       os, cpu);
		}
	}
	if (best)
		return parse_blob(best, "index", &m->chosen, err);
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND, "index: there is no image in it");
	if (!seen[0])
		return error_set(err, ERR_NOT_FOUND,
				 "index: none of its %zu images says which machine it is for; one "
				 "alone would be taken",
				 count);
	return error_set(err, ERR_NOT_FOUND, "the image is not there for linux/%s, only for %s",
			 arch, seen);
}

/* --- manifests --- */

static bool layer_type_known(const char *type)
{
	static const char *const known[] = {
		"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd",
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(known[i], type))
			return true;
	return false;
}

static int parse_layers(const json_t *layers, struct oci_manifest *m, struct error *err)
{
	size_t n = json_array_size(layers), i;
	const json_t *layer;

	if (!json_is_array(layers))
		return error_set(err, ERR_UPSTREAM, "manifest: no layers");
	if (n > OCI_LAYERS_MAX)
		return error_set(err, ERR_TOO_LARGE, "manifest: %zu layers; at most %d are read", n,
				 OCI_LAYERS_MAX);
	m->layers = calloc(n ? n : 1, sizeof(*m->layers));
	if (!m->layers)
		return error_errno(err, -ENOMEM, "manifest");
	json_array_foreach (layers, i, layer) {
		const char *type = text_of(layer, "mediaType");
		int r;

		if (!layer_type_known(type))
			return error_set(
				err, ERR_UNSUPPORTED,
				"manifest: layer %zu is of the type '%.100s', not a part of "
				"a root file system",
				i + 1, type);
		r = parse_blob(layer, "manifest", &m->layers[i], err);
		if (r < 0)
			return r;
		m->n_layers++;
	}
	return 0;
}

/* --- kernels --- */

static bool kernel_title(const json_t *layer)
{
	static const char *const names[] = { "vmlinux", "vmlinuz", "bzImage" };
	const char *title =
		text_of(json_object_get(layer, "annotations"), "org.opencontainers.image.title");
	size_t len = strlen(title);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_has_prefix(title, names[i]))
			return true;
	return len > 4 && streq(title + len - 4, ".deb");
}

static int parse_kernel(const json_t *layers, struct oci_manifest *m, struct error *err)
{
	const json_t *found = NULL, *layer;
	size_t i;
	int r;

	if (json_array_size(layers) == 1)
		found = json_array_get(layers, 0);
	json_array_foreach (layers, i, layer)
		if (!found && kernel_title(layer))
			found = layer;
	if (!found)
		return error_set(err, ERR_UPSTREAM,
				 "manifest: none of its %zu files has the title of a kernel: "
				 "vmlinux…, vmlinuz…, bzImage… or ….deb",
				 json_array_size(layers));
	if (layer_type_known(text_of(found, "mediaType")))
		return error_set(err, ERR_UNSUPPORTED,
				 "manifest: it is an image; a kernel is an artifact with the file "
				 "itself, as \"oras push\" makes it");
	m->layers = calloc(1, sizeof(*m->layers));
	if (!m->layers)
		return error_errno(err, -ENOMEM, "manifest");
	r = parse_blob(found, "manifest", m->layers, err);
	m->n_layers = r == 0;
	return r;
}

/* --- either --- */

typedef int layers_fn(const json_t *layers, struct oci_manifest *m, struct error *err);

static int parse_document(const char *text, size_t len, const char *arch, layers_fn *take_layers,
			  struct oci_manifest *ret_manifest, struct error *err)
{
	json_auto_t *root = json_parse(text, len, err);
	struct oci_manifest m CLEANUP(oci_manifest_done) = { .layers = NULL };
	const json_t *version = json_object_get(root, "schemaVersion");
	int r;

	if (!root) {
		(void)error_wrap(err, "manifest");
		return error_recode(err, ERR_UPSTREAM);
	}
	if (json_integer_value(version) != 2)
		return error_set(err, ERR_UNSUPPORTED,
				 "manifest: only version 2 of its schema is understood");
	if (json_is_array(json_object_get(root, "manifests"))) {
		m.is_index = true;
		r = choose(json_object_get(root, "manifests"), arch, &m, err);
	} else {
		r = parse_blob(json_object_get(root, "config"), "manifest", &m.config, err);
		if (r == 0)
			r = take_layers(json_object_get(root, "layers"), &m, err);
	}
	if (r < 0)
		return r;
	*ret_manifest = m;
	m.layers = NULL;
	return 0;
}

int oci_manifest_parse(const char *text, size_t len, const char *arch,
		       struct oci_manifest *ret_manifest, struct error *err)
{
	return parse_document(text, len, arch, parse_layers, ret_manifest, err);
}

int oci_kernel_parse(const char *text, size_t len, const char *arch,
		     struct oci_manifest *ret_manifest, struct error *err)
{
	return parse_document(text, len, arch, parse_kernel, ret_manifest, err);
}

/* --- configurations --- */

/* A list of strings, or an error; NULL and absent are an empty one. */
static int take_list(const json_t *from, const char *key, json_t *to, const char *name,
		     struct error *err)
{
	const json_t *list = json_object_get(from, key), *s;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
		return error_set(err, ERR_UPSTREAM, "configuration: '%s' is no list of strings",
				 key);
	json_array_foreach (list, i, s)
		if (!json_is_string(s))
			return error_set(err, ERR_UPSTREAM,
					 "configuration: '%s' is no list of strings", key);
	if (json_array_size(list) == 0)
		return 0;
	return json_object_set_new(to, name, json_deep_copy(list)) < 0
		       ? error_errno(err, -ENOMEM, "configuration")
		       : 0;
}

static int take_text(const json_t *from, const char *key, json_t *to, const char *name,
		     struct error *err)
{
	const json_t *s = json_object_get(from, key);

	if (!s || json_is_null(s) || (json_is_string(s) && json_string_length(s) == 0))
		return 0;
	if (!json_is_string(s) || json_string_length(s) > 4096)
		return error_set(err, ERR_UPSTREAM, "configuration: '%s' is no string", key);
	return json_object_set_new(to, name, json_deep_copy(s)) < 0
		       ? error_errno(err, -ENOMEM, "configuration")
		       : 0;
}

/* The names of an object whose values say nothing: {"80/tcp": {}}. */
static int take_names(const json_t *from, const char *key, json_t *to, const char *name,
		      struct error *err)
{
	json_t *object = json_object_get(from, key);
	json_t *list;
	const char *one;
	json_t *value;

	if (!json_is_object(object) || json_object_size(object) == 0)
		return 0;
	list = json_array();
	json_object_foreach (object, one, value)
		if (json_array_size(list) < LIST_MAX)
			(void)json_array_append_new(list, json_string(one));
	return json_object_set_new(to, name, list) < 0 ? error_errno(err, -ENOMEM, "configuration")
						       : 0;
}

static int take_labels(const json_t *from, json_t *to, struct error *err)
{
	json_t *labels = json_object_get(from, "Labels");
	const char *name;
	json_t *value;

	if (!json_is_object(labels) || json_object_size(labels) == 0)
		return 0;
	json_object_foreach (labels, name, value)
		if (!json_is_string(value))
			return error_set(err, ERR_UPSTREAM,
					 "configuration: a label that is no string");
	return json_object_set_new(to, "labels", json_deep_copy(labels)) < 0
		       ? error_errno(err, -ENOMEM, "configuration")
		       : 0;
}

/* An image that is made to run an init system gets to be one. */
static bool runs_init(const json_t *config)
{
	static const char *const inits[] = { "/sbin/init", "/lib/systemd/systemd",
					     "/usr/lib/systemd/systemd", "/usr/sbin/init" };
	const json_t *argv = json_object_get(config, "entrypoint");
	const char *program;

	if (!argv)
		argv = json_object_get(config, "cmd");
	program = json_string_value(json_array_get(argv, 0));
	for (size_t i = 0; program && i < ARRAY_SIZE(inits); i++)
		if (streq(program, inits[i]))
			return true;
	return false;
}

static int convert(const json_t *from, json_t *to, struct error *err)
{
	int r = take_list(from, "Entrypoint", to, "entrypoint", err);

	if (r == 0)
		r = take_list(from, "Cmd", to, "cmd", err);
	if (r == 0)
		r = take_list(from, "Env", to, "env", err);
	if (r == 0)
		r = take_text(from, "User", to, "user", err);
	if (r == 0)
		r = take_text(from, "WorkingDir", to, "workdir", err);
	if (r == 0)
		r = take_text(from, "StopSignal", to, "stop_signal", err);
	if (r == 0)
		r = take_names(from, "ExposedPorts", to, "ports", err);
	if (r == 0)
		r = take_names(from, "Volumes", to, "volumes", err);
	if (r == 0)
		r = take_labels(from, to, err);
	if (r == 0 && runs_init(to) && json_object_set_new(to, "init", json_string("system")) < 0)
		r = error_errno(err, -ENOMEM, "configuration");
	return r;
}

/* Labels go first where everything together is too much to keep; they change nothing. */
static int check_room(json_t *config, struct error *err)
{
	for (int i = 0; i < 2; i++) {
		autofree char *text = json_text(config);

		if (!text)
			return error_errno(err, -ENOMEM, "configuration");
		if (strlen(text) <= CONFIG_TEXT_MAX)
			return 0;
		(void)json_object_del(config, "labels");
	}
	return error_set(err, ERR_TOO_LARGE, "configuration: more than %d bytes", CONFIG_TEXT_MAX);
}

int oci_config_parse(const char *text, size_t len, const char *arch, size_t n_layers,
		     json_t **ret_config, struct error *err)
{
	json_auto_t *root = json_parse(text, len, err);
	json_auto_t *config = json_object();
	const json_t *diff_ids = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
	int r;

	if (!root) {
		(void)error_wrap(err, "configuration");
		return error_recode(err, ERR_UPSTREAM);
	}
	if (!config)
		return error_errno(err, -ENOMEM, "configuration");
	if (!streq(text_of(root, "os"), "linux"))
		return error_set(err, ERR_UNSUPPORTED, "the image is for '%.32s', not for linux",
				 text_of(root, "os"));
	if (arch && !streq(text_of(root, "architecture"), arch))
		return error_set(err, ERR_UNSUPPORTED, "the image is for %.32s, this machine is %s",
				 text_of(root, "architecture"), arch);
	if (json_array_size(diff_ids) != n_layers)
		return error_set(err, ERR_UPSTREAM,
				 "the configuration knows of %zu layers, the manifest of %zu",
				 json_array_size(diff_ids), n_layers);
	r = convert(json_object_get(root, "config"), config, err);
	if (r == 0)
		r = check_room(config, err);
	if (r < 0)
		return r;
	*ret_config = json_incref(config);
	return 0;
}
