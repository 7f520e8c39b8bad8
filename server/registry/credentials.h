/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are to a registry, from the owner's own ~/.docker/config.json: the entry of the host, or
 * the credential helper that it names. Nothing is stored by us.
 */
#pragma once

#include "lib/base/error.h"

struct credentials {
	char user[256];
	char password[8192];
};

/*
 * 1 and the credentials, or 0: there are none for this host. `folder` is that of config.json; NULL:
 * $DOCKER_CONFIG or ~/.docker. May run a helper: worker thread.
 */
int credentials_find(const char *folder, const char *host, struct credentials *ret_credentials,
		     struct error *err) MUST_USE;
