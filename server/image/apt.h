/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages of the host's distribution, from the host's own apt sources, mirrors, proxies and keys.
 * Nothing is installed and no root is needed; apt checks every download against its signed lists.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "server/ops/op.h"

struct apt_package {
	char name[128];
	char version[128];
	char uri[1024];
	char file[256];
	char digest[256]; /* as apt prints it: "SHA256:…" */
	uint64_t size_bytes;
};

/*
 * Name of the first package that `meta` depends on and that starts with `prefix`. ERR_UNAVAILABLE
 * when the host's lists do not have it: the message says what to run.
 */
int apt_dependency(const char *meta, const char *prefix, char *ret_name, size_t size, struct op *op,
		   struct error *err) MUST_USE;

/* Where a package's newest version is. */
int apt_resolve(const char *name, struct apt_package *ret_package, struct op *op,
		struct error *err) MUST_USE;

/* Downloads it to the file `path` (absolute, not there yet), with progress in bytes. */
int apt_download(const struct apt_package *package, const char *path, struct op *op,
		 struct error *err) MUST_USE;

/* --- parts, for tests --- */

/* A line of "apt-get download --print-uris": 'uri' file size digest. */
int apt_parse_uri(const char *line, struct apt_package *ret_package, struct error *err) MUST_USE;
/* Output of "apt-cache depends". */
int apt_parse_depends(const char *text, const char *prefix, char *ret_name, size_t size) MUST_USE;
