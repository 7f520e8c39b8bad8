/* SPDX-License-Identifier: Apache-2.0 */
/* One file of the web with a known digest, over the same client as registries: retries, redirects,
 * proxies, certificates. */
#pragma once

#include "server/registry/fetch.h"

/*
 * Writes what is at `url` (https; http for loopback and the hosts of settings->insecure) to the
 * empty file `fd`. ERR_UPSTREAM when its sha256 is another than these 64 digits: then the file is
 * empty again. More than `max` bytes are refused.
 */
int download_file(const struct registry_settings *settings, const char *url, const char *sha256,
		  uint64_t max, int fd, struct op *op, struct error *err) MUST_USE;

/* "https://host[:port]/…": the host with its port. ERR_INVALID for any other scheme than http(s).
 */
int download_host(const char *url, struct reference *ret_ref, struct error *err) MUST_USE;
