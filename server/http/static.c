/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/static.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/http/accept.h"

enum { PATH_LEN_MAX = 255 };

/* Styles may be inline: the terminal makes its own while it runs. Scripts may not. */
static const char csp[] =
	"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src "
	"'self'; img-src 'self' data: blob:; font-src 'self'; manifest-src 'self'; frame-src "
	"'self'; "
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

static const struct {
	const char *suffix;
	const char *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
	{ ".json", "application/json" },
	{ ".webmanifest", "application/manifest+json" },
	{ ".png", "image/png" },
	{ ".ico", "image/x-icon" },
	{ ".woff2", "font/woff2" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".wasm", "application/wasm" },
};

static const char *type_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++)
		if (streq(dot, types[i].suffix))
			return types[i].type;
	return NULL;
}

/* A compressed neighbour that the client accepts, else the file itself. */
static int open_best(const struct http_request *req, const char *path, const char **ret_encoding)
{
	static const struct {
		const char *name;
		const char *suffix;
	} encodings[] = { { "br", ".br" }, { "gzip", ".gz" } };
	const char *accepted = http_header(req, "Accept-Encoding");
	char name[PATH_LEN_MAX + 8];

	for (size_t i = 0; accepted && i < ARRAY_SIZE(encodings); i++) {
		int fd;

		if (!accept_encoding(accepted, encodings[i].name))
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", path, encodings[i].suffix);
		fd = open_regular_beneath(req->server->web_fd, name, O_RDONLY, 0);
		if (fd >= 0) {
			*ret_encoding = encodings[i].name;
			return fd;
		}
	}
	*ret_encoding = NULL;
	return open_regular_beneath(req->server->web_fd, path, O_RDONLY, 0);
}

static void page_headers(struct http_request *req)
{
	http_reply_header(req, "Content-Security-Policy", csp);
	http_reply_header(req, "Referrer-Policy", "no-referrer");
	http_reply_header(req, "Cross-Origin-Opener-Policy", "same-origin");
	http_reply_header(req, "Cross-Origin-Resource-Policy", "same-origin");
}

static bool send_file(struct http_request *req, const char *path)
{
	const char *type = type_of(path);
	const char *encoding = NULL;
	autoclose int fd = type ? open_best(req, path, &encoding) : -1;
	struct MHD_Response *response;
	char etag[64];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	/* The build puts a hash of the content into the names below assets/. */
	http_reply_header(req, "Cache-Control",
			  str_has_prefix(path, "assets/") ? "public, max-age=31536000, immutable"
							  : "no-cache");
	http_reply_header(req, "Vary", "Accept-Encoding");
	page_headers(req);
	(void)snprintf(etag, sizeof(etag), "%llx-%llx%s", (unsigned long long)st.st_mtim.tv_nsec,
		       (unsigned long long)st.st_size, encoding ? encoding : "");
	if (http_not_modified(req, etag))
		return true;
	http_reply_header(req, "Content-Type", type);
	if (encoding)
		http_reply_header(req, "Content-Encoding", encoding);
	response = MHD_create_response_from_fd64((uint64_t)st.st_size, fd);
	if (response)
		(void)take_fd(&fd);
	request_set_response(req, 200, response);
	return true;
}

static const char no_dashboard_text[] =
	"banger's server runs. This build has no dashboard: it needs Node.js when banger is built\n"
	"(on Debian: apt-get install nodejs npm), or --web DIR with the dashboard's files.\n"
	"The REST API is complete without it: see /openapi.yaml.\n";

static const char no_dashboard_page[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>banger</title>"
	"<h1>banger's server runs</h1><p>This build has no dashboard: it needs Node.js when banger "
	"is built (on Debian: <code>apt-get install nodejs npm</code>), or <code>--web DIR</code> "
	"with the dashboard's files.</p><p>The REST API is complete without it: see its <a "
	"href=\"/openapi.yaml\">OpenAPI "
	"document</a>.</p></html>";

static void explain(struct http_request *req)
{
	static const char *const offered[] = { "text/plain", "text/html" };

	page_headers(req);
	http_reply_header(req, "Vary", "Accept");
	if (accept_best(http_header(req, "Accept"), offered, ARRAY_SIZE(offered)) == 1)
		http_reply_static(req, 200, "text/html; charset=utf-8", no_dashboard_page,
				  sizeof(no_dashboard_page) - 1);
	else
		http_reply_static(req, 200, "text/plain; charset=utf-8", no_dashboard_text,
				  sizeof(no_dashboard_text) - 1);
}

bool static_reply(struct http_request *req)
{
	char path[PATH_LEN_MAX + 1];
	size_t len = 0;

	if (!streq(req->method, "GET") && !streq(req->method, "HEAD"))
		return false;
	if (req->uri.n_text < req->uri.n_segments)
		return false;
	for (size_t i = 0; i < req->uri.n_segments; i++) {
		const char *segment = req->uri.segments[i];

		if (segment[0] == '\0' || segment[0] == '.' || strchr(segment, '/'))
			return false;
		len += (size_t)snprintf(path + len, sizeof(path) - len, "%s%s", i ? "/" : "",
					segment);
		if (len >= sizeof(path))
			return false;
	}
	if (len == 0)
		(void)snprintf(path, sizeof(path), "index.html");
	if (req->server->web_fd >= 0 && send_file(req, path))
		return true;
	if (len > 0)
		return false;
	explain(req);
	return true;
}
