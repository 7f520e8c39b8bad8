/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/reference.h"

#include <stdio.h>
#include <string.h>

#include "lib/digest/digest.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static const char sha256_prefix[] = "sha256:";
static const char hub[] = "docker.io";

bool oci_digest_valid(const char *digest)
{
	return str_has_prefix(digest, sha256_prefix) &&
	       digest_hex_valid(digest + strlen(sha256_prefix));
}

bool reference_is_loopback(const char *host)
{
	static const char localhost[] = "localhost", v6[] = "[::1]", v4[] = "127.";
	const char *end;

	if (str_has_prefix(host, localhost))
		end = host + strlen(localhost);
	else if (str_has_prefix(host, v6))
		end = host + strlen(v6);
	else if (str_has_prefix(host, v4))
		end = host + strspn(host, DIGITS ".");
	else
		return false;
	return *end == '\0' || *end == ':';
}

static int refuse(struct error *err, const char *text, const char *why)
{
	return error_set(err, ERR_INVALID, "'%.200s' is no name of an image: %s", text, why);
}

/* Parts of [a-z0-9] with '.', '_' or '-' inside, and '/' between. */
static bool repo_valid(const char *repo)
{
	for (const char *p = repo;; p++) {
		size_t len = strspn(p, LOWER DIGITS "._-");

		if (len == 0 || strchr("._-", p[0]) || strchr("._-", p[len - 1]))
			return false;
		p += len;
		if (*p == '\0')
			return true;
		if (*p != '/')
			return false;
	}
}

static bool host_valid(const char *host)
{
	const char *p = host;

	if (*p == '[') {
		p++;
		p += strspn(p, "abcdefABCDEF" DIGITS ":");
		if (*p++ != ']')
			return false;
	} else {
		size_t len = strspn(p, LOWER UPPER DIGITS ".-");

		if (len == 0 || strchr(".-", p[0]))
			return false;
		p += len;
	}
	if (*p == '\0')
		return true;
	return *p == ':' && p[1] && strlen(p + 1) <= 5 && strspn(p + 1, DIGITS) == strlen(p + 1);
}

static bool is_host(const char *text, size_t len)
{
	return memchr(text, '.', len) || memchr(text, ':', len) ||
	       (len == strlen("localhost") && memcmp(text, "localhost", len) == 0);
}

/* Cuts tag and digest off the end of `rest`. */
static int cut_tag(const char *text, char *rest, struct reference *ref, struct error *err)
{
	char *at = strchr(rest, '@');
	char *slash, *colon;

	if (at) {
		if (!oci_digest_valid(at + 1))
			return refuse(err, text, "the digest is not sha256: and 64 digits");
		(void)snprintf(ref->digest, sizeof(ref->digest), "%s", at + 1);
		*at = '\0';
	}
	slash = strrchr(rest, '/');
	colon = strchr(slash ? slash : rest, ':');
	if (!colon) {
		(void)snprintf(ref->tag, sizeof(ref->tag), "%s", at ? "" : "latest");
		return 0;
	}
	*colon++ = '\0';
	if (!*colon || strlen(colon) > REFERENCE_TAG_MAX || strchr(".-", *colon) ||
	    strspn(colon, LOWER UPPER DIGITS "._-") != strlen(colon))
		return refuse(err, text, "the tag is not as tags are");
	(void)snprintf(ref->tag, sizeof(ref->tag), "%s", colon);
	return 0;
}

int reference_parse(const char *text, struct reference *ret_ref, struct error *err)
{
	struct reference ref = { .tag = "" };
	char rest[REFERENCE_HOST_MAX + REFERENCE_REPO_MAX + REFERENCE_TAG_MAX + OCI_DIGEST_SIZE];
	const char *slash = strchr(text, '/');
	int n, r;

	if (slash && is_host(text, (size_t)(slash - text))) {
		n = snprintf(ref.host, sizeof(ref.host), "%.*s", (int)(slash - text), text);
		if (n < 0 || (size_t)n >= sizeof(ref.host) || !host_valid(ref.host))
			return refuse(err, text, "the host is not as hosts are");
		text = slash + 1;
	} else {
		memcpy(ref.host, hub, sizeof(hub));
	}
	n = snprintf(rest, sizeof(rest), "%s", text);
	if (n < 0 || (size_t)n >= sizeof(rest))
		return refuse(err, text, "it is too long");
	r = cut_tag(text, rest, &ref, err);
	if (r < 0)
		return r;
	n = snprintf(ref.repo, sizeof(ref.repo), "%s%s",
		     streq(ref.host, hub) && !strchr(rest, '/') ? "library/" : "", rest);
	if (n < 0 || (size_t)n >= sizeof(ref.repo) || !repo_valid(ref.repo))
		return refuse(
			err, text,
			"only a-z, 0-9, '.', '_', '-' and '/' can stand in a repository's name");
	*ret_ref = ref;
	return 0;
}
