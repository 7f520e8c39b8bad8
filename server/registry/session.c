/* SPDX-License-Identifier: Apache-2.0 */
/* A registry as one operation knows it: how it is asked, and with which secrets. */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/cleanup.h"
#include "server/registry/fetch.h"

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool listed(const char *list, const char *host)
{
	size_t len = strlen(host);

	for (const char *p = list; p && *p;) {
		size_t n = strcspn(p, ", ");

		if (n == len && strncasecmp(p, host, len) == 0)
			return true;
		p += n;
		p += strspn(p, ", ");
	}
	return false;
}

int registry_init(struct registry *registry, const struct registry_settings *settings,
		  const struct reference *ref, struct op *op, struct error *err)
{
	if (pthread_once(&curl_once, init_curl) != 0)
		return error_set(err, ERR_INTERNAL, "libcurl can't be set up");
	memset(registry, 0, sizeof(*registry));
	registry->settings = *settings;
	registry->ref = *ref;
	registry->op = op;
	registry->plain = reference_is_loopback(ref->host) || listed(settings->insecure, ref->host);
	(void)snprintf(registry->base, sizeof(registry->base), "%s://%s",
		       registry->plain ? "http" : "https",
		       streq(ref->host, "docker.io") ? "registry-1.docker.io" : ref->host);
	return 0;
}

void registry_done(struct registry *registry)
{
	explicit_bzero(&registry->credentials, sizeof(registry->credentials));
	explicit_bzero(registry->token, sizeof(registry->token));
}

int registry_open(const struct registry_settings *settings, const char *reference, struct op *op,
		  struct registry **ret_registry, struct error *err)
{
	autofree struct registry *registry = malloc(sizeof(*registry));
	struct reference ref;
	int r = reference_parse(reference, &ref, err);

	if (r < 0)
		return r;
	if (!registry)
		return error_errno(err, -ENOMEM, "ask for %s", reference);
	op_stage(op, "resolve");
	r = registry_init(registry, settings, &ref, op, err);
	if (r < 0)
		return r;
	*ret_registry = TAKE_PTR(registry);
	return 0;
}

void registry_close_p(struct registry **registry)
{
	if (!*registry)
		return;
	registry_done(*registry);
	free(*registry);
	*registry = NULL;
}
