/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/auth.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

enum { TOKEN_REPLY_MAX = 64 * 1024 };

/* --- the challenge --- */

/* One key="value" or key=value; what follows it. NULL: there is none, or it is too long. */
static const char *next_pair(const char *p, char *key, size_t key_size, char *value,
			     size_t value_size)
{
	size_t n;

	p += strspn(p, " \t,");
	n = strcspn(p, "= \t,\"");
	if (n == 0 || n >= key_size || p[n] != '=')
		return NULL;
	memcpy(key, p, n);
	key[n] = '\0';
	p += n + 1;
	n = 0;
	if (*p != '"') {
		size_t len = strcspn(p, " \t,");

		if (len >= value_size)
			return NULL;
		memcpy(value, p, len);
		value[len] = '\0';
		return p + len;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		if (n + 1 >= value_size)
			return NULL;
		value[n++] = *p;
	}
	value[n] = '\0';
	return *p == '"' ? p + 1 : NULL;
}

int challenge_parse(const char *text, struct challenge *ret_challenge, struct error *err)
{
	struct challenge c = { .bearer = false };
	char key[32], value[1024];
	const char *p = text + strspn(text, " \t");

	if (strncasecmp(p, "Basic", 5) == 0 && (p[5] == '\0' || isspace((unsigned char)p[5]))) {
		*ret_challenge = c;
		return 0;
	}
	if (strncasecmp(p, "Bearer ", 7) != 0)
		return error_set(err, ERR_UPSTREAM,
				 "the registry asks for an authentication that is not known: %.60s",
				 text);
	c.bearer = true;
	p += 7;
	while ((p = next_pair(p, key, sizeof(key), value, sizeof(value))) != NULL) {
		if (strcasecmp(key, "realm") == 0)
			(void)snprintf(c.realm, sizeof(c.realm), "%s", value);
		else if (strcasecmp(key, "service") == 0)
			(void)snprintf(c.service, sizeof(c.service), "%.255s", value);
		else if (strcasecmp(key, "scope") == 0)
			(void)snprintf(c.scope, sizeof(c.scope), "%.511s", value);
	}
	if (c.realm[0] == '\0')
		return error_set(err, ERR_UPSTREAM, "the registry names no realm for its tokens");
	*ret_challenge = c;
	return 0;
}

/* --- the token --- */

static int find_credentials(struct registry *registry, struct error *err)
{
	int r;

	if (registry->known_credentials)
		return 0;
	r = credentials_find(registry->settings.docker_config, registry->ref.host,
			     &registry->credentials, err);
	if (r < 0)
		return r;
	registry->known_credentials = true;
	registry->has_credentials = r > 0;
	return 0;
}

static int set_basic(struct registry *registry, struct error *err)
{
	char pair[sizeof(registry->credentials.user) + sizeof(registry->credentials.password)];
	autofree char *encoded = NULL;
	int len, n;

	if (!registry->has_credentials)
		return error_set(err, ERR_UNAUTHENTICATED,
				 "%s wants to know who asks; log in with \"docker login %s\" or "
				 "write ~/.docker/config.json",
				 registry->ref.host, registry->ref.host);
	len = snprintf(pair, sizeof(pair), "%s:%s", registry->credentials.user,
		       registry->credentials.password);
	encoded = base64_encode(pair, (size_t)len);
	explicit_bzero(pair, sizeof(pair));
	if (!encoded)
		return error_errno(err, -ENOMEM, "credentials");
	n = snprintf(registry->token, sizeof(registry->token), "Basic %s", encoded);
	explicit_bzero(encoded, strlen(encoded));
	return n < 0 || (size_t)n >= sizeof(registry->token)
		       ? error_set(err, ERR_TOO_LARGE, "the credentials are too long")
		       : 0;
}

/* Into a header: nothing that could end it. */
static bool token_valid(const char *token)
{
	size_t len = strlen(token);

	if (len == 0 || len > FETCH_TOKEN_MAX - 16)
		return false;
	for (; *token; token++)
		if (!isgraph((unsigned char)*token))
			return false;
	return true;
}

static void add_query(char *url, size_t size, const char *key, const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, 0);
	size_t n = strlen(url);

	if (escaped && *escaped)
		(void)snprintf(url + n, size - n, "%c%s=%s", strchr(url, '?') ? '&' : '?', key,
			       escaped);
	curl_free(escaped);
}

static int set_bearer(struct registry *registry, const struct challenge *c, struct error *err)
{
	struct fetch fetch = { .what = "token",
			       .max = TOKEN_REPLY_MAX,
			       .with_basic = registry->has_credentials };
	autofree char *text = NULL;
	json_auto_t *reply = NULL;
	const char *token;
	char scope[600];
	size_t len;
	int r;

	(void)snprintf(scope, sizeof(scope), "repository:%s:pull", registry->ref.repo);
	(void)snprintf(fetch.path, sizeof(fetch.path), "%s", c->realm);
	add_query(fetch.path, sizeof(fetch.path), "service", c->service);
	add_query(fetch.path, sizeof(fetch.path), "scope", c->scope[0] ? c->scope : scope);
	r = fetch_document(registry, &fetch, &text, &len, err);
	if (r < 0)
		return r;
	reply = json_parse(text, len, err);
	if (!reply) {
		(void)error_wrap(err, "token");
		return error_recode(err, ERR_UPSTREAM);
	}
	token = json_string_value(json_object_get(reply, "token"));
	if (!token)
		token = json_string_value(json_object_get(reply, "access_token"));
	if (!token || !token_valid(token))
		return error_set(err, ERR_UPSTREAM, "%s gave no token that can be used",
				 registry->ref.host);
	(void)snprintf(registry->token, sizeof(registry->token), "Bearer %s", token);
	return 0;
}

int registry_authorize(struct registry *registry, const char *challenge, struct error *err)
{
	struct challenge c = { .bearer = false };
	int r = challenge_parse(challenge, &c, err);

	if (r == 0)
		r = find_credentials(registry, err);
	if (r == 0)
		r = c.bearer ? set_bearer(registry, &c, err) : set_basic(registry, err);
	if (r == 0)
		registry->token_age++;
	return r;
}
