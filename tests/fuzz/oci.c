/* SPDX-License-Identifier: Apache-2.0 */
/* A registry's words in: a manifest has layers with digests, a configuration is small enough to be
 * kept, a reference and a challenge fit into their fields. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/registry/auth.h"
#include "server/registry/document.h"
#include "tests/fuzz/fuzz.h"

static void as_manifest(const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	struct oci_manifest m;

	if (oci_manifest_parse(text, len, "amd64", &m, &err) < 0) {
		assert(err.code != ERR_NONE);
		return;
	}
	assert(m.n_layers <= OCI_LAYERS_MAX);
	assert(oci_digest_valid(m.is_index ? m.chosen.digest : m.config.digest));
	for (size_t i = 0; i < m.n_layers; i++)
		assert(oci_digest_valid(m.layers[i].digest));
	oci_manifest_done(&m);
}

static void as_kernel(const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	struct oci_manifest m;

	if (oci_kernel_parse(text, len, "amd64", &m, &err) < 0) {
		assert(err.code != ERR_NONE);
		return;
	}
	assert(m.is_index || (m.n_layers == 1 && oci_digest_valid(m.layers[0].digest)));
	oci_manifest_done(&m);
}

static void as_config(const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	json_auto_t *config = NULL;
	autofree char *kept = NULL;

	if (oci_config_parse(text, len, NULL, 1, &config, &err) < 0) {
		assert(err.code != ERR_NONE);
		return;
	}
	kept = json_text(config);
	assert(kept && strlen(kept) < 16384);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = malloc(size + 1);
	struct error err = ERROR_INIT;
	struct challenge c;
	struct reference ref;

	assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	as_manifest(text, size);
	as_kernel(text, size);
	as_config(text, size);
	if (reference_parse(text, &ref, &err) == 0)
		assert(ref.host[0] && ref.repo[0] && (ref.tag[0] || ref.digest[0]));
	err = ERROR_INIT;
	if (challenge_parse(text, &c, &err) == 0)
		assert(!c.bearer || c.realm[0]);
	return 0;
}
