/* SPDX-License-Identifier: Apache-2.0 */
/* An image of a registry: which one it is, its configuration and its layers. */
#pragma once

#include "server/registry/blobs.h"

struct pulled {
	char digest[OCI_DIGEST_SIZE]; /* of the manifest for this machine */
	struct oci_manifest manifest;
	json_t *config; /* as of oci_config_parse() */
	int *layers;    /* descriptors, after registry_layers() */
	size_t n_layers;
};

#define PULLED_INIT ((struct pulled){ .config = NULL })
void pulled_done(struct pulled *pulled);

/* For people: "docker.io/library/python:3.12@sha256:…". */
enum { PULLED_SOURCE_SIZE = 512 };
void pulled_source(const struct reference *ref, const char *digest,
		   char ret_source[PULLED_SOURCE_SIZE]);

/* Manifest and configuration, both held against their digests. */
int registry_resolve(struct registry *registry, struct pulled *ret_pulled,
		     struct error *err) MUST_USE;
/* The manifest alone, of an artifact with a kernel: see oci_kernel_parse(). */
int registry_resolve_kernel(struct registry *registry, struct pulled *ret_pulled,
			    struct error *err) MUST_USE;
/* The layers, into the folder and opened. */
int registry_layers(struct registry *registry, const char *folder, struct pulled *pulled,
		    struct error *err) MUST_USE;
