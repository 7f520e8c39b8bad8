/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/download.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/digest/digest.h"

struct target {
	int fd;
	const char *sha256;
	struct op *op;
	struct digest_stream stream;
	uint64_t have;
};

static int start_over(struct target *t, struct error *err)
{
	int r;

	digest_abandon(&t->stream);
	t->have = 0;
	r = ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0 ? -errno
								     : digest_start(&t->stream);
	return r < 0 ? error_errno(err, r, "write the download") : 0;
}

static int target_begin(void *data, uint64_t *ret_have, struct error *err)
{
	struct target *t = data;
	int r = t->stream.ctx ? 0 : start_over(t, err);

	*ret_have = t->have;
	return r;
}

static int target_rewind(void *data, struct error *err)
{
	return start_over(data, err);
}

static int target_write(void *data, const void *bytes, size_t len, struct error *err)
{
	struct target *t = data;
	int r = digest_update(&t->stream, bytes, len);

	if (r == 0)
		r = write_all(t->fd, bytes, len);
	if (r < 0)
		return error_errno(err, r, "write the download");
	t->have += len;
	op_progress(t->op, t->have, 0, "bytes");
	return 0;
}

static int target_end(void *data, struct error *err)
{
	struct target *t = data;
	struct digest digest;
	int r = digest_finish(&t->stream, &digest);

	if (r < 0)
		return error_errno(err, r, "sha256 of the download");
	if (streq(digest.hex, t->sha256))
		return 0;
	(void)!ftruncate(t->fd, 0);
	return error_set(err, ERR_UPSTREAM, "its sha256 is %s, not %s as was asked for", digest.hex,
			 t->sha256);
}

int download_host(const char *url, struct reference *ref, struct error *err)
{
	static const char *const schemes[] = { "https://", "http://" };
	const char *host = NULL;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(schemes) && !host; i++)
		if (str_has_prefix(url, schemes[i]))
			host = url + strlen(schemes[i]);
	len = host ? strcspn(host, "/?#") : 0;
	if (len == 0 || len >= sizeof(ref->host) || memchr(host, '@', len) ||
	    memchr(host, '\\', len))
		return error_set(err, ERR_INVALID, "'%.200s' is no https address", url);
	memset(ref, 0, sizeof(*ref));
	memcpy(ref->host, host, len);
	return 0;
}

int download_file(const struct registry_settings *settings, const char *url, const char *sha256,
		  uint64_t max, int fd, struct op *op, struct error *err)
{
	static const struct fetch_sink sink = { .begin = target_begin,
						.rewind = target_rewind,
						.write = target_write,
						.end = target_end };
	struct target t = { .fd = fd, .sha256 = sha256, .op = op, .stream = DIGEST_STREAM_INIT };
	autofree struct registry *registry = malloc(sizeof(*registry));
	autofree struct fetch *fetch = calloc(1, sizeof(*fetch));
	struct reference ref;
	int n, r = download_host(url, &ref, err);

	if (r < 0)
		return r;
	if (!registry || !fetch)
		return error_errno(err, -ENOMEM, "download");
	r = registry_init(registry, settings, &ref, op, err);
	if (r < 0)
		return r;
	if (!registry->plain && !str_has_prefix(url, "https://")) {
		r = error_set(err, ERR_INVALID,
			      "%s: http is for this machine, and for hosts that are named in "
			      "images.insecure_registries",
			      ref.host);
	} else {
		fetch->own = true;
		fetch->what = "file";
		fetch->max = max;
		fetch->sink = &sink;
		fetch->data = &t;
		n = snprintf(fetch->path, sizeof(fetch->path), "%s", url);
		r = n < 0 || (size_t)n >= sizeof(fetch->path)
			    ? error_set(err, ERR_INVALID, "the address is too long")
			    : fetch_all(registry, fetch, 1, err);
	}
	digest_abandon(&t.stream);
	registry_done(registry);
	return r;
}
