/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/registry/address.h"
#include "server/registry/auth.h"

enum { REDIRECTS_MAX = 5, CONNECT_S = 15, BACKOFF_MAX_MS = 10000 };
enum { RETRY_AFTER_MAX_S = 60, SLOWEST_BYTES_S = 1024 };

/* --- addresses --- */

/* The registry itself may be anywhere. */
static bool may_reach(struct transfer *t, enum address_reach reach)
{
	if (!t->asked_for)
		return address_allowed(t->registry->reach, reach);
	t->registry->reach = reach;
	return true;
}

static curl_socket_t on_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *t = data;

	(void)purpose;
	if (!t->by_proxy && !may_reach(t, address_reach(&address->addr))) {
		t->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- replies --- */

static void keep_header(const char *line, size_t len, const char *name, char *to, size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	(void)snprintf(to, size, "%.*s", (int)len, line);
}

static size_t on_header(char *line, size_t size, size_t n, void *data)
{
	struct transfer *t = data;
	char number[32] = "";

	(void)size;
	if (n > 5 && strncmp(line, "HTTP/", 5) == 0)
		t->location[0] = t->challenge[0] = t->range[0] = '\0';
	keep_header(line, n, "location:", t->location, sizeof(t->location));
	keep_header(line, n, "www-authenticate:", t->challenge, sizeof(t->challenge));
	keep_header(line, n, "content-range:", t->range, sizeof(t->range));
	keep_header(line, n, "retry-after:", number, sizeof(number));
	if (number[0])
		t->retry_after_s = (unsigned int)strtoul(number, NULL, 10);
	return n;
}

/* The first byte of a body that is wanted: does it continue what is there? */
static int begin_body(struct transfer *t, long status)
{
	static const char bytes[] = "bytes ";
	char *end = NULL;

	t->in_body = true;
	if (t->have == 0)
		return 0;
	if (status == 206 && str_has_prefix(t->range, bytes) &&
	    strtoull(t->range + strlen(bytes), &end, 10) == t->have && *end == '-')
		return 0;
	t->have = 0;
	return t->fetch->sink->rewind(t->fetch->data, t->err);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
	struct transfer *t = data;
	long status = 0;

	(void)size;
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 206)
		return n; /* the page that comes with an error is of no use */
	if (!t->in_body)
		t->sink_result = begin_body(t, status);
	if (t->sink_result == 0 && n > t->fetch->max - t->have)
		t->sink_result = error_set(t->err, ERR_UPSTREAM,
					   "%s: more bytes came than the %llu that were announced",
					   t->fetch->what, (unsigned long long)t->fetch->max);
	if (t->sink_result == 0)
		t->sink_result = t->fetch->sink->write(t->fetch->data, bytes, n, t->err);
	if (t->sink_result < 0)
		return 0;
	t->have += n;
	return n;
}

/* --- requests --- */

static int set_url(struct transfer *t, struct error *err)
{
	const char *path = t->fetch->path;
	int n = snprintf(t->url, sizeof(t->url), "%s%s", path[0] == '/' ? t->registry->base : "",
			 path);

	t->redirects = 0;
	t->at_registry = path[0] == '/';
	t->asked_for = t->at_registry || t->fetch->own;
	return n < 0 || (size_t)n >= sizeof(t->url)
		       ? error_set(err, ERR_UPSTREAM, "%s: an address that is too long",
				   t->fetch->what)
		       : 0;
}

static int add_header(struct transfer *t, const char *name, const char *value)
{
	autofree char *line = NULL;
	struct curl_slist *longer;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	longer = curl_slist_append(t->headers, line);
	explicit_bzero(line, strlen(line));
	if (!longer)
		return -ENOMEM;
	t->headers = longer;
	return 0;
}

static int set_headers(struct transfer *t)
{
	const struct registry *reg = t->registry;
	int r = 0;

	curl_slist_free_all(t->headers);
	t->headers = NULL;
	if (t->fetch->accept)
		r = add_header(t, "Accept", t->fetch->accept);
	/* Our own line: curl's would go on to the host of a redirect of the same name. */
	if (r == 0 && t->at_registry && reg->token[0])
		r = add_header(t, "Authorization", reg->token);
	if (r == 0 && t->have > 0) {
		char range[64];

		(void)snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", t->have);
		r = add_header(t, "Range", range);
	}
	return r;
}

/* Which way t->url is asked; 1 when it is an address that we may not be sent to. */
static int set_way(struct transfer *t)
{
	bool https = str_has_prefix(t->url, "https://");
	CURLU *url = curl_url();
	char proxy[FETCH_URL_MAX];
	char *host = NULL;
	int r = url ? -EDESTADDRREQ : -ENOMEM;

	if (url && curl_url_set(url, CURLUPART_URL, t->url, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		t->by_proxy = proxy_find(https, host, proxy, sizeof(proxy));
		r = t->by_proxy && !may_reach(t, address_reach_of_host(host));
		if (curl_easy_setopt(t->easy, CURLOPT_PROXY, t->by_proxy ? proxy : "") !=
			    CURLE_OK ||
		    curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "") != CURLE_OK)
			r = -ENOMEM;
	}
	explicit_bzero(proxy, sizeof(proxy));
	curl_free(host);
	curl_url_cleanup(url);
	return r;
}

static int set_options(struct transfer *t)
{
	const struct registry *reg = t->registry;
	const struct registry_settings *s = &reg->settings;
	CURL *e;
	bool ok;

	/* A new one: whose host was not found refuses options from then on, also after a reset. */
	curl_easy_cleanup(t->easy);
	t->easy = e = curl_easy_init();
	if (!e)
		return -ENOMEM;
	ok = curl_easy_setopt(e, CURLOPT_URL, t->url) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, reg->plain ? "http,https" : "https") ==
		     CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_USERAGENT, "banger") == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST_BYTES_S) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)s->stall_s) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->why) == CURLE_OK &&
	     curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK;
	/* Refused by a handle that has its buffer still, of this size, from a try that found no
	 * host. */
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L * 1024);
	if (ok && s->ca_file && *s->ca_file)
		ok = curl_easy_setopt(e, CURLOPT_CAINFO, s->ca_file) == CURLE_OK;
	if (ok && t->fetch->with_basic)
		ok = curl_easy_setopt(e, CURLOPT_USERNAME, reg->credentials.user) == CURLE_OK &&
		     curl_easy_setopt(e, CURLOPT_PASSWORD, reg->credentials.password) == CURLE_OK;
	return ok ? 0 : -EINVAL;
}

static int refuse_address(const struct transfer *t, struct error *err)
{
	return error_set(err, ERR_UPSTREAM, "%s: the registry sends us to a private address",
			 t->fetch->what);
}

/* Begins the request for t->url. */
static int send_request(struct transfer *t, CURLM *multi, struct error *err)
{
	int r;

	t->retry_after_s = 0;
	t->in_body = false;
	t->refused_address = false;
	t->sink_result = 0;
	t->why[0] = '\0';
	t->token_age = t->registry->token_age;
	r = set_headers(t);
	if (r == 0)
		r = set_options(t);
	if (r == 0)
		r = set_way(t);
	if (r > 0)
		return refuse_address(t, err);
	if (r == -EDESTADDRREQ)
		return error_set(err, ERR_UPSTREAM, "%s: '%.60s' is an address without a host",
				 t->fetch->what, t->url);
	if (r < 0)
		return error_errno(err, r, "ask for %s", t->fetch->what);
	if (curl_multi_add_handle(multi, t->easy) != CURLM_OK)
		return error_set(err, ERR_INTERNAL, "ask for %s", t->fetch->what);
	t->state = TRANSFER_RUNNING;
	return 0;
}

int transfer_begin(struct transfer *t, CURLM *multi, struct error *err)
{
	int r = set_url(t, err);

	t->have = 0;
	if (r == 0)
		r = t->fetch->sink->begin(t->fetch->data, &t->have, err);
	return r < 0 ? r : send_request(t, multi, err);
}

/* --- what became of them --- */

static int finish(struct transfer *t, struct error *err)
{
	int r = 0;

	/* An empty body calls nobody. */
	if (!t->in_body && t->have > 0)
		r = begin_body(t, 200);
	if (r == 0 && t->fetch->exact && t->have != t->fetch->max)
		r = error_set(err, ERR_UPSTREAM, "%s: %llu bytes came of the %llu announced",
			      t->fetch->what, (unsigned long long)t->have,
			      (unsigned long long)t->fetch->max);
	if (r == 0)
		r = t->fetch->sink->end(t->fetch->data, err);
	if (r == 0)
		t->state = TRANSFER_DONE;
	return r;
}

/*
 * Tries once more after a while; `err` says why there was a need to. Only bytes that no attempt has
 * brought before count as a gain, and not those that trickle: or a registry could hold a pull for
 * ever.
 */
static int retry_later(struct transfer *t, struct error *err)
{
	bool gained = t->have > t->furthest && err->code != ERR_TIMEOUT;
	uint64_t wait_ms = (uint64_t)t->registry->settings.backoff_ms
			   << (t->tries < 8 ? t->tries : 8);

	if (t->have > t->furthest)
		t->furthest = t->have;
	if (gained)
		t->tries = 0;
	if (++t->tries >= t->registry->settings.tries || ++t->all_tries > 100)
		return error_wrap(err, "gave up after %u tries", t->tries);
	if (wait_ms > BACKOFF_MAX_MS)
		wait_ms = BACKOFF_MAX_MS;
	if (t->retry_after_s > 0)
		wait_ms = 1000ULL * (t->retry_after_s < RETRY_AFTER_MAX_S ? t->retry_after_s
									  : RETRY_AFTER_MAX_S);
	*err = ERROR_INIT;
	t->state = TRANSFER_WAITING;
	t->wake_us = clock_mono_us() + (int64_t)wait_ms * 1000;
	return 0;
}

static int follow_redirect(struct transfer *t, CURLM *multi, struct error *err)
{
	CURLU *url = curl_url();
	char *whole = NULL;
	bool ok;
	int r = 0;

	ok = url && t->location[0] && curl_url_set(url, CURLUPART_URL, t->url, 0) == CURLUE_OK &&
	     curl_url_set(url, CURLUPART_URL, t->location, 0) == CURLUE_OK &&
	     curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
	     strlen(whole) < sizeof(t->url);
	if (!ok || ++t->redirects > REDIRECTS_MAX)
		r = error_set(err, ERR_UPSTREAM, "%s: the registry redirects to nowhere",
			      t->fetch->what);
	else if (!str_has_prefix(whole, "https://") &&
		 !(t->registry->plain && str_has_prefix(whole, "http://")))
		r = error_set(err, ERR_UPSTREAM,
			      "%s: the registry redirects to '%.60s', which is no https address",
			      t->fetch->what, whole);
	if (r == 0) {
		size_t base = strlen(t->registry->base);

		t->at_registry = strncmp(whole, t->registry->base, base) == 0 &&
				 (whole[base] == '/' || whole[base] == '\0');
		t->asked_for = t->at_registry;
		(void)snprintf(t->url, sizeof(t->url), "%s", whole);
		r = send_request(t, multi, err);
	}
	curl_free(whole);
	curl_url_cleanup(url);
	return r;
}

static int answer_challenge(struct transfer *t, CURLM *multi, struct error *err)
{
	int r;

	if (!t->at_registry || t->fetch->with_basic || ++t->challenges > 3)
		return error_set(err, ERR_UNAUTHENTICATED,
				 "%s: %s does not accept the credentials that it was given",
				 t->fetch->what, t->registry->ref.host);
	/* Somebody else has got a new one meanwhile. */
	if (t->token_age == t->registry->token_age) {
		r = registry_authorize(t->registry, t->challenge, err);
		if (r < 0)
			return r;
	}
	return transfer_begin(t, multi, err);
}

static int refuse(const struct transfer *t, long status, struct error *err)
{
	const char *host = t->registry->ref.host;

	switch (status) {
	case 403:
		return error_set(err, ERR_FORBIDDEN, "%s: %s forbids it", t->fetch->what, host);
	case 404:
		return error_set(err, ERR_NOT_FOUND, "%s: %s does not have it", t->fetch->what,
				 host);
	case 429:
		return error_set(err, ERR_RATE, "%s: %s is asked too often", t->fetch->what, host);
	default:
		return error_set(err, ERR_UPSTREAM, "%s: %s answers with status %ld",
				 t->fetch->what, host, status);
	}
}

int transfer_ended(struct transfer *t, CURLM *multi, CURLcode code, struct error *err)
{
	long status = 0;
	int r;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->sink_result < 0)
		return t->sink_result;
	if (t->refused_address)
		return refuse_address(t, err);
	if (code != CURLE_OK) {
		(void)error_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UPSTREAM,
				"%s: %s: %s", t->fetch->what, t->registry->ref.host,
				t->why[0] ? t->why : curl_easy_strerror(code));
		if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
			return error_advise(err, "Name a file with the certificates that vouch for "
						 "the registry in images.ca_file of banger.conf.");
		if (code == CURLE_SSL_CONNECT_ERROR)
			(void)error_advise(err, "If this registry is asked by http, list it in "
						"images.insecure_registries of banger.conf.");
		if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT)
			return error_to_errno(err);
		return retry_later(t, err);
	}
	if (status == 200 || status == 206)
		return finish(t, err);
	if (status == 401)
		return answer_challenge(t, multi, err);
	if (status >= 301 && status <= 308 && status != 304)
		return follow_redirect(t, multi, err);
	if (status == 416 && t->have > 0) {
		/* What is there is not the front of what it has. */
		r = t->fetch->sink->rewind(t->fetch->data, err);
		return r < 0 ? r : transfer_begin(t, multi, err);
	}
	r = refuse(t, status, err);
	return status == 429 || status >= 500 ? retry_later(t, err) : r;
}

void transfer_done(struct transfer *t, CURLM *multi)
{
	if (t->easy && t->state == TRANSFER_RUNNING)
		(void)curl_multi_remove_handle(multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
}
