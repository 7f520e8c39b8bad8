/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and image configurations, of OCI and of Docker. All of it comes from outside:
 * nothing is taken that is not checked here, and numbers of things are bounded.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "server/registry/reference.h"

enum {
	OCI_LAYERS_MAX = 500,
	OCI_INDEX_MAX = 1000,
	OCI_DOCUMENT_MAX = 4 << 20, /* bytes of a manifest, index or configuration */
};

struct oci_blob {
	char digest[OCI_DIGEST_SIZE];
	uint64_t size;
};

struct oci_manifest {
	bool is_index;
	struct oci_blob chosen;  /* of an index: the manifest for this machine */
	struct oci_blob config;  /* else: the image itself */
	struct oci_blob *layers; /* oldest first */
	size_t n_layers;
};

void oci_manifest_done(struct oci_manifest *manifest);

/* What Accept asks for. */
extern const char oci_manifest_types[];

/* The architecture of this machine as images name it: "amd64". */
const char *oci_host_arch(void);

/* A manifest or index; of an index, `arch` on Linux is chosen. */
int oci_manifest_parse(const char *text, size_t len, const char *arch,
		       struct oci_manifest *ret_manifest, struct error *err) MUST_USE;

/*
 * The same of an artifact that holds a kernel: `layers` is the one file that it is in, of any type.
 * Among several it is the one whose title (annotation) is that of a kernel's file.
 */
int oci_kernel_parse(const char *text, size_t len, const char *arch,
		     struct oci_manifest *ret_manifest, struct error *err) MUST_USE;

/*
 * An image's configuration as ours: entrypoint, cmd, env, user, workdir, ports, volumes,
 * stop_signal, labels, and init where the image runs one. New reference. `n_layers` must be what
 * the configuration knows of; `arch` NULL: any.
 */
int oci_config_parse(const char *text, size_t len, const char *arch, size_t n_layers,
		     json_t **ret_config, struct error *err) MUST_USE;
