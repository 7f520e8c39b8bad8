/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/registry/download.h"
#include "server/registry/reference.h"

/* By tags that move on: those of a release get repairs of security, which a digest would keep out.
 */
static const struct {
	enum name_kind kind;
	const char *name;
	const char *source;
} ours[] = {
	{ NAME_BUILT_IMAGE, "debian", "debian" },
	{ NAME_BUILT_IMAGE, "mini", "mini" },
	{ NAME_IMAGE, "alpine", "docker.io/library/alpine:3" },
	{ NAME_IMAGE, "busybox", "docker.io/library/busybox:1" },
	{ NAME_IMAGE, "fedora", "docker.io/library/fedora:latest" },
	{ NAME_IMAGE, "golang", "docker.io/library/golang:1" },
	{ NAME_IMAGE, "mariadb", "docker.io/library/mariadb:lts" },
	{ NAME_IMAGE, "nginx", "docker.io/library/nginx:stable" },
	{ NAME_IMAGE, "node", "docker.io/library/node:lts" },
	{ NAME_IMAGE, "postgres", "docker.io/library/postgres:17" },
	{ NAME_IMAGE, "python", "docker.io/library/python:3" },
	{ NAME_IMAGE, "redis", "docker.io/library/redis:7" },
	{ NAME_IMAGE, "ruby", "docker.io/library/ruby:3" },
	{ NAME_IMAGE, "rust", "docker.io/library/rust:1" },
	{ NAME_IMAGE, "ubuntu", "docker.io/library/ubuntu:24.04" },
};

enum { WORDS_MAX = 4 };

static const char mend[] = "Mend the list of names on the server's machine, where the detail says; "
			   "it is read anew each "
			   "time.";

/* Cuts a line into words; more than WORDS_MAX are counted, not kept. */
static size_t cut(char *line, char *words[WORDS_MAX])
{
	size_t n = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *p = line + strspn(line, " \t\r"); *p; n++) {
		size_t len = strcspn(p, " \t\r");

		if (n < WORDS_MAX)
			words[n] = p;
		p += len;
		if (*p)
			*p++ = '\0';
		p += strspn(p, " \t\r");
	}
	return n;
}

/* Which parts there must be, and what they mean. */
static int take_source(char *const words[WORDS_MAX], size_t n, struct catalog_name *name,
		       struct error *err)
{
	struct reference ref;
	bool url = name->kind == NAME_KERNEL && n == 4;
	int r = url ? download_host(name->source, &ref, err)
		    : reference_parse(name->source, &ref, err);

	if (r < 0)
		return r;
	if (url && !digest_hex_valid(words[3]))
		return error_set(err, ERR_INVALID, "the sha256 is not 64 digits of 0-9 and a-f");
	name->pinned = url || ref.digest[0];
	if (url)
		memcpy(name->sha256, words[3], sizeof(name->sha256));
	/* What runs below all else is not what a name happens to mean on the day. */
	return name->kind == NAME_KERNEL && !name->pinned
		       ? error_set(err, ERR_INVALID,
				   "a kernel's reference ends with its digest, @sha256:…")
		       : 0;
}

static int take_words(char *const words[WORDS_MAX], size_t n, struct catalog_name *ret_name,
		      struct error *err)
{
	struct catalog_name name = { .own = true };
	bool kernel = streq(words[0], "kernel");
	int r;

	if (!kernel && !streq(words[0], "image"))
		return error_set(err, ERR_INVALID, "'%.60s' is neither image nor kernel", words[0]);
	if (n != 3 && !(kernel && n == 4))
		return error_set(err, ERR_INVALID, "%s wants %s", words[0],
				 kernel ? "NAME URL SHA256 or NAME REFERENCE" : "NAME REFERENCE");
	if (strlen(words[1]) >= sizeof(name.name) || strlen(words[2]) >= sizeof(name.source))
		return error_set(err, ERR_INVALID, "'%.60s…' is too long",
				 strlen(words[1]) >= sizeof(name.name) ? words[1] : words[2]);
	name.kind = kernel ? NAME_KERNEL : NAME_IMAGE;
	(void)snprintf(name.name, sizeof(name.name), "%s", words[1]);
	(void)snprintf(name.source, sizeof(name.source), "%s", words[2]);
	r = take_source(words, n, &name, err);
	if (r < 0)
		return r;
	*ret_name = name;
	return 0;
}

/* A file with known content is that content, or is not used; one that has gone is another, too. */
static int check_file(const struct names *names, const char *text, size_t len, struct error *err)
{
	struct digest digest;
	int r;

	if (!names->sha256 || !*names->sha256)
		return 0;
	r = digest_bytes(text ? text : "", len, &digest);
	if (r < 0)
		return error_errno(err, r, "read %s", names->file);
	if (streq(digest.hex, names->sha256))
		return 0;
	(void)error_set(err, ERR_INVALID, "%s: its sha256 is %s, and images.catalog_sha256 is %s",
			names->file, digest.hex, names->sha256);
	return error_advise(err, "Put the right list in its place, or change "
				 "images.catalog_sha256 of banger.conf and restart the server.");
}

static int file_each(const struct names *names, catalog_name_fn *fn, void *data, struct error *err)
{
	const char *file = names->file;
	autofree char *text = NULL;
	unsigned int number = 0;
	size_t len = 0;
	int r = read_file(file, NAMES_FILE_MAX, &text, &len);

	if (r < 0 && r != -ENOENT) {
		(void)error_set(err, ERR_INVALID, "read %s: %s", file, strerrordesc_np(-r));
		return error_advise(err, mend);
	}
	r = check_file(names, text, len, err);
	if (r < 0)
		return r;
	for (char *line = text, *next; line && *line; line = next) {
		struct catalog_name name;
		char *words[WORDS_MAX];
		size_t n;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		n = cut(line, words);
		if (n == 0)
			continue;
		if (number > NAMES_MAX)
			r = error_set(err, ERR_INVALID, "more than %d lines", NAMES_MAX);
		else
			r = take_words(words, n, &name, err);
		if (r < 0) {
			(void)error_wrap(err, "%s:%u", file, number);
			return error_advise(err, mend);
		}
		r = fn(&name, data);
		if (r != 0)
			return r;
	}
	return 0;
}

int names_each(const struct names *names, catalog_name_fn *fn, void *data, struct error *err)
{
	int r = file_each(names, fn, data, err);

	for (size_t i = 0; i < ARRAY_SIZE(ours) && r == 0; i++) {
		struct catalog_name name = { .kind = ours[i].kind };

		(void)snprintf(name.name, sizeof(name.name), "%s", ours[i].name);
		(void)snprintf(name.source, sizeof(name.source), "%s", ours[i].source);
		r = fn(&name, data);
	}
	return r;
}

struct search {
	bool kernel;
	const char *name;
	struct catalog_name *ret;
};

static int compare(const struct catalog_name *name, void *data)
{
	const struct search *s = data;

	if ((name->kind == NAME_KERNEL) != s->kernel || !streq(name->name, s->name))
		return 0;
	*s->ret = *name;
	return 1;
}

int names_find(const struct names *names, bool kernel, const char *name,
	       struct catalog_name *ret_name, struct error *err)
{
	struct search s = { .kernel = kernel, .name = name, .ret = ret_name };

	return names_each(names, compare, &s, err);
}
