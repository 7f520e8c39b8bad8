/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/registry/address.h"
#include "server/registry/auth.h"
#include "server/registry/transfer.h"

enum { REDIRECTS_MAX = 5, CONNECT_S = 15, TICK_MS = 500, BACKOFF_MAX_MS = 10000 };
enum { RETRY_AFTER_MAX_S = 60, SLOWEST_BYTES_S = 1024 };

/* --- the registry --- */

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
	int r = -ENOMEM;

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
	if (r < 0)
		return error_errno(err, r, "ask for %s", t->fetch->what);
	if (curl_multi_add_handle(multi, t->easy) != CURLM_OK)
		return error_set(err, ERR_INTERNAL, "ask for %s", t->fetch->what);
	t->state = TRANSFER_RUNNING;
	return 0;
}

static int begin_attempt(struct transfer *t, CURLM *multi, struct error *err)
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
	return begin_attempt(t, multi, err);
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

static int transfer_ended(struct transfer *t, CURLM *multi, CURLcode code, struct error *err)
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
		return r < 0 ? r : begin_attempt(t, multi, err);
	}
	r = refuse(t, status, err);
	return status == 429 || status >= 500 ? retry_later(t, err) : r;
}

/* --- all of them --- */

struct batch {
	struct transfer *transfers;
	size_t n;
	CURLM *multi;
};

static void batch_done(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		struct transfer *t = &batch->transfers[i];

		if (t->easy && t->state == TRANSFER_RUNNING)
			(void)curl_multi_remove_handle(batch->multi, t->easy);
		curl_easy_cleanup(t->easy);
		curl_slist_free_all(t->headers);
	}
	free(batch->transfers);
	if (batch->multi)
		(void)curl_multi_cleanup(batch->multi);
}

/* Begins what may begin. 1 while there is something to wait for. */
static int begin_some(struct batch *b, unsigned int parallel, struct error *err)
{
	unsigned int running = 0;
	int left = 0;

	for (size_t i = 0; i < b->n; i++)
		running += b->transfers[i].state == TRANSFER_RUNNING;
	for (size_t i = 0; i < b->n; i++) {
		struct transfer *t = &b->transfers[i];
		int r;

		left |= t->state != TRANSFER_DONE;
		if (running >= parallel || t->state == TRANSFER_RUNNING ||
		    t->state == TRANSFER_DONE ||
		    (t->state == TRANSFER_WAITING && clock_mono_us() < t->wake_us))
			continue;
		r = begin_attempt(t, b->multi, err);
		if (r < 0)
			return r;
		running++;
	}
	return left;
}

/* 1 when some have ended, which others may have waited for. */
static int take_ended(struct batch *b, struct error *err)
{
	const CURLMsg *msg;
	int left, some = 0;

	while ((msg = curl_multi_info_read(b->multi, &left)) != NULL) {
		CURLcode code = msg->data.result;
		char *private = NULL;
		struct transfer *t;
		CURL *easy = msg->easy_handle;
		int r;

		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		t = (struct transfer *)(void *)private;
		(void)curl_multi_remove_handle(b->multi, easy);
		t->state = TRANSFER_NEW;
		t->err = err;
		r = transfer_ended(t, b->multi, code, err);
		if (r < 0)
			return r;
		some = 1;
	}
	return some;
}

static int run_batch(struct registry *registry, struct batch *b, struct error *err)
{
	unsigned int parallel = registry->settings.parallel;

	if (parallel > FETCH_PARALLEL_MAX)
		parallel = FETCH_PARALLEL_MAX;
	for (;;) {
		struct curl_waitfd cancel = { .fd = op_cancel_fd(registry->op),
					      .events = CURL_WAIT_POLLIN };
		int running, r = op_check(registry->op, err);

		if (r == 0)
			r = begin_some(b, parallel, err);
		if (r <= 0)
			return r;
		if (curl_multi_perform(b->multi, &running) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl can't go on");
		r = take_ended(b, err);
		if (r < 0)
			return r;
		/* To wait now would be for nothing where all have ended. */
		if (r == 0 && curl_multi_poll(b->multi, &cancel, 1, TICK_MS / 5, NULL) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl can't wait");
	}
}

int fetch_all(struct registry *registry, struct fetch *fetches, size_t n, struct error *err)
{
	struct batch b CLEANUP(batch_done) = { .n = 0 };

	if (n == 0)
		return 0;
	b.transfers = calloc(n, sizeof(*b.transfers));
	b.multi = curl_multi_init();
	if (!b.transfers || !b.multi)
		return error_errno(err, -ENOMEM, "ask %s", registry->ref.host);
	b.n = n;
	for (size_t i = 0; i < n; i++) {
		b.transfers[i].registry = registry;
		b.transfers[i].fetch = &fetches[i];
		b.transfers[i].err = err;
	}
	return run_batch(registry, &b, err);
}

/* --- documents --- */

static int document_begin(void *data, uint64_t *ret_have, struct error *err)
{
	struct buf *b = data;

	(void)err;
	buf_consume(b, buf_len(b));
	*ret_have = 0;
	return 0;
}

static int document_rewind(void *data, struct error *err)
{
	uint64_t ignored;

	return document_begin(data, &ignored, err);
}

static int document_write(void *data, const void *bytes, size_t len, struct error *err)
{
	int r = buf_append(data, bytes, len);

	return r < 0 ? error_errno(err, r, "take a document") : 0;
}

static int document_end(void *data, struct error *err)
{
	int r = buf_append(data, "", 1);

	return r < 0 ? error_errno(err, r, "take a document") : 0;
}

int fetch_document(struct registry *registry, const struct fetch *what, char **ret_text,
		   size_t *ret_len, struct error *err)
{
	static const struct fetch_sink sink = { .begin = document_begin,
						.rewind = document_rewind,
						.write = document_write,
						.end = document_end };
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree struct fetch *fetch = malloc(sizeof(*fetch));
	int r;

	buf_init(&b, what->max + 1);
	if (!fetch)
		return error_errno(err, -ENOMEM, "take a document");
	*fetch = *what;
	fetch->sink = &sink;
	fetch->data = &b;
	r = fetch_all(registry, fetch, 1, err);
	if (r < 0)
		return r;
	*ret_len = buf_len(&b) - 1;
	*ret_text = malloc(buf_len(&b));
	if (!*ret_text)
		return error_errno(err, -ENOMEM, "take a document");
	memcpy(*ret_text, buf_bytes(&b), buf_len(&b));
	return 0;
}
