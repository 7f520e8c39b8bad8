/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images as people write them: "python:3.12", "ghcr.io/org/tool@sha256:…". */
#pragma once

#include "lib/base/error.h"

enum { REFERENCE_HOST_MAX = 255, REFERENCE_REPO_MAX = 255, REFERENCE_TAG_MAX = 128 };

/* Of a blob or manifest: "sha256:" and 64 digits. */
enum { OCI_DIGEST_SIZE = 72 };

struct reference {
	char host[REFERENCE_HOST_MAX + 1]; /* "docker.io", "127.0.0.1:5000" */
	char repo[REFERENCE_REPO_MAX + 1]; /* "library/python" */
	char tag[REFERENCE_TAG_MAX + 1]; /* "latest" if nothing was said; "" with a digest alone */
	char digest[OCI_DIGEST_SIZE];    /* "" for none; goes before the tag */
};

/* A first part without '.' and ':' that is not "localhost" belongs to docker.io, as everywhere. */
int reference_parse(const char *text, struct reference *ret_ref, struct error *err) MUST_USE;

/* "sha256:" and 64 lower-case hexadecimal digits. */
bool oci_digest_valid(const char *digest);

/* The host names this machine itself: "localhost", 127.x.x.x or [::1], with or without a port. */
bool reference_is_loopback(const char *host);
