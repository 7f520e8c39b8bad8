/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/digest/digest.h"
#include "lib/json/json.h"

/* An index may lead to another one, once. */
enum { INDEX_DEPTH_MAX = 2 };

void pulled_done(struct pulled *pulled)
{
	for (size_t i = 0; i < pulled->n_layers; i++)
		close_keep_errno(pulled->layers[i]);
	free(pulled->layers);
	oci_manifest_done(&pulled->manifest);
	json_decref(pulled->config);
	*pulled = PULLED_INIT;
}

void pulled_source(const struct reference *ref, const char *digest,
		   char ret_source[PULLED_SOURCE_SIZE])
{
	(void)snprintf(ret_source, PULLED_SOURCE_SIZE, "%.120s/%.200s%s%.100s@%s", ref->host,
		       ref->repo, ref->tag[0] ? ":" : "", ref->tag, digest);
}

/* Holds a document against its digest ("" for any) and gives the digest that it has. */
static int check(const char *what, const char *text, size_t len, const char *want,
		 char ret_digest[OCI_DIGEST_SIZE], struct error *err)
{
	struct digest digest;
	int r = digest_bytes(text, len, &digest);

	if (r < 0)
		return error_errno(err, r, "sha256 of the %s", what);
	(void)snprintf(ret_digest, OCI_DIGEST_SIZE, "sha256:%s", digest.hex);
	if (*want && !streq(want, ret_digest))
		return error_set(err, ERR_UPSTREAM, "%s: its digest is %s, not %s as was asked for",
				 what, ret_digest, want);
	return 0;
}

typedef int manifest_parse_fn(const char *text, size_t len, const char *arch,
			      struct oci_manifest *ret_manifest, struct error *err);

static int get_manifest(struct registry *registry, const char *which, bool is_digest,
			manifest_parse_fn *parse, struct pulled *p, struct error *err)
{
	struct fetch fetch = { .what = "manifest",
			       .accept = oci_manifest_types,
			       .max = OCI_DOCUMENT_MAX };
	autofree char *text = NULL;
	size_t len;
	int r;

	(void)snprintf(fetch.path, sizeof(fetch.path), "/v2/%s/manifests/%s", registry->ref.repo,
		       which);
	r = fetch_document(registry, &fetch, &text, &len, err);
	if (r == 0)
		r = check("manifest", text, len, is_digest ? which : "", p->digest, err);
	oci_manifest_done(&p->manifest);
	return r < 0 ? r : parse(text, len, oci_host_arch(), &p->manifest, err);
}

static int get_config(struct registry *registry, struct pulled *p, struct error *err)
{
	struct fetch fetch = { .what = "configuration",
			       .max = p->manifest.config.size,
			       .exact = true };
	char digest[OCI_DIGEST_SIZE];
	autofree char *text = NULL;
	size_t len;
	int r;

	if (fetch.max > OCI_DOCUMENT_MAX)
		return error_set(err, ERR_TOO_LARGE, "configuration: %llu bytes",
				 (unsigned long long)fetch.max);
	(void)snprintf(fetch.path, sizeof(fetch.path), "/v2/%s/blobs/%s", registry->ref.repo,
		       p->manifest.config.digest);
	r = fetch_document(registry, &fetch, &text, &len, err);
	if (r == 0)
		r = check("configuration", text, len, p->manifest.config.digest, digest, err);
	if (r == 0)
		r = oci_config_parse(text, len, oci_host_arch(), p->manifest.n_layers, &p->config,
				     err);
	return r;
}

/* Through an index, if there is one. */
static int find_manifest(struct registry *registry, manifest_parse_fn *parse, struct pulled *p,
			 struct error *err)
{
	const struct reference *ref = &registry->ref;
	int r = get_manifest(registry, ref->digest[0] ? ref->digest : ref->tag, ref->digest[0] != 0,
			     parse, p, err);

	for (int i = 0; r == 0 && p->manifest.is_index; i++) {
		char chosen[OCI_DIGEST_SIZE];

		if (i == INDEX_DEPTH_MAX)
			return error_set(err, ERR_UPSTREAM, "index: it leads to another one again");
		memcpy(chosen, p->manifest.chosen.digest, sizeof(chosen));
		r = get_manifest(registry, chosen, true, parse, p, err);
	}
	return r;
}

int registry_resolve(struct registry *registry, struct pulled *ret_pulled, struct error *err)
{
	struct pulled p CLEANUP(pulled_done) = PULLED_INIT;
	int r = find_manifest(registry, oci_manifest_parse, &p, err);

	if (r == 0)
		r = get_config(registry, &p, err);
	if (r < 0)
		return r;
	*ret_pulled = p;
	p = PULLED_INIT;
	return 0;
}

int registry_resolve_kernel(struct registry *registry, struct pulled *ret_pulled, struct error *err)
{
	struct pulled p CLEANUP(pulled_done) = PULLED_INIT;
	int r = find_manifest(registry, oci_kernel_parse, &p, err);

	if (r < 0)
		return r;
	*ret_pulled = p;
	p = PULLED_INIT;
	return 0;
}

int registry_layers(struct registry *registry, const char *folder, struct pulled *pulled,
		    struct error *err)
{
	size_t n = pulled->manifest.n_layers;
	int r;

	pulled->layers = calloc(n ? n : 1, sizeof(int));
	if (!pulled->layers)
		return error_errno(err, -ENOMEM, "layers");
	r = blobs_get(registry, folder, pulled->manifest.layers, n, "layer", pulled->layers, err);
	if (r == 0)
		pulled->n_layers = n;
	return r;
}
