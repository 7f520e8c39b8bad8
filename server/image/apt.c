/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/apt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/cleanup.h"
#include "lib/proc/proc.h"
#include "server/image/task.h"

#define HELPER "/usr/lib/apt/apt-helper"

enum { ASK_TIMEOUT_MS = 120 * 1000, DOWNLOAD_TIMEOUT_S = 3600 };

static const uint64_t package_bytes_max = 4ULL << 30;

/* Runs one of apt's programs and keeps what it prints. */
static int ask(const char *const argv[], const char *package, struct op *op, char **ret_out,
	       struct error *err)
{
	struct proc_result result CLEANUP(proc_result_done) = { 0 };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	int r;

	if (access(argv[0], X_OK) < 0)
		return error_set(
			err, ERR_UNSUPPORTED,
			"%s is not there: packages are taken from a Debian host's apt sources",
			argv[0]);
	spec.argv = argv;
	run.timeout_ms = ASK_TIMEOUT_MS;
	run.cancel_fd = op_cancel_fd(op);
	r = proc_run(&spec, &run, &result, err);
	if (r < 0)
		return r;
	if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0 || result.out_len == 0)
		return error_set(
			err, ERR_UNAVAILABLE,
			"the host's package lists do not have %s; run \"apt-get update\" as "
			"root and try again",
			package);
	*ret_out = TAKE_PTR(result.out);
	return 0;
}

int apt_parse_depends(const char *text, const char *prefix, char *ret_name, size_t size)
{
	static const char word[] = "Depends: ";

	for (const char *at = strstr(text, word); at; at = strstr(at, word)) {
		size_t len;

		at += strlen(word);
		len = strcspn(at, " \n");
		if (!str_has_prefix(at, prefix) || len >= size)
			continue;
		memcpy(ret_name, at, len);
		ret_name[len] = '\0';
		return 0;
	}
	return -ENOENT;
}

int apt_dependency(const char *meta, const char *prefix, char *ret_name, size_t size, struct op *op,
		   struct error *err)
{
	const char *argv[] = { "/usr/bin/apt-cache", "depends", meta, NULL };
	autofree char *out = NULL;
	int r = ask(argv, meta, op, &out, err);

	if (r < 0)
		return r;
	if (apt_parse_depends(out, prefix, ret_name, size) < 0)
		return error_set(err, ERR_UNAVAILABLE, "package %s depends on no %s*", meta,
				 prefix);
	return 0;
}

/* Copies the word that ends at any of `ends`; NULL when it is empty or too long, else what follows.
 */
static const char *take_word(const char *from, const char *ends, char *to, size_t size)
{
	size_t len = strcspn(from, ends);

	if (len == 0 || len >= size)
		return NULL;
	memcpy(to, from, len);
	to[len] = '\0';
	return from + len + strspn(from + len, " '");
}

/* "name_version_arch.deb", with ':' of the version written as %3a. */
static int parse_file_name(struct apt_package *package)
{
	const char *version = strchr(package->file, '_');
	const char *arch = strrchr(package->file, '_');
	size_t name_len;

	if (!version || version == arch)
		return -EINVAL;
	name_len = (size_t)(version - package->file);
	if (name_len >= sizeof(package->name) ||
	    (size_t)(arch - version) > sizeof(package->version))
		return -EINVAL;
	memcpy(package->name, package->file, name_len);
	package->name[name_len] = '\0';
	memcpy(package->version, version + 1, (size_t)(arch - version - 1));
	package->version[arch - version - 1] = '\0';
	for (char *p = strstr(package->version, "%3a"); p; p = strstr(p, "%3a")) {
		*p = ':';
		memmove(p + 1, p + 3, strlen(p + 3) + 1);
	}
	return 0;
}

int apt_parse_uri(const char *line, struct apt_package *ret_package, struct error *err)
{
	struct apt_package package = { 0 };
	const char *at = line;
	char size[24];

	at = *at == '\'' ? take_word(at + 1, "'\n", package.uri, sizeof(package.uri)) : NULL;
	at = at ? take_word(at, " \n", package.file, sizeof(package.file)) : NULL;
	at = at ? take_word(at, " \n", size, sizeof(size)) : NULL;
	if (!at || strspn(size, "0123456789") != strlen(size) || parse_file_name(&package) < 0)
		return error_set(err, ERR_INTERNAL, "apt's answer is not understood: %.200s", line);
	(void)take_word(at, " \n", package.digest, sizeof(package.digest));
	package.size_bytes = strtoull(size, NULL, 10);
	if (package.size_bytes > package_bytes_max)
		return error_set(err, ERR_TOO_LARGE, "package %s has %s bytes", package.name, size);
	*ret_package = package;
	return 0;
}

int apt_resolve(const char *name, struct apt_package *ret_package, struct op *op, struct error *err)
{
	/* A package of the same name in the working directory would silence the answer. */
	const char *argv[] = { "/usr/bin/env", "-C", "/", "/usr/bin/apt-get", "-qq", "--print-uris",
			       "download",     name, NULL };
	autofree char *out = NULL;
	int r = ask(argv, name, op, &out, err);

	return r < 0 ? r : apt_parse_uri(out, ret_package, err);
}

struct download {
	const struct apt_package *package;
	const char *path;
	struct op *op;
};

static int download_tick(void *data, struct error *err)
{
	const struct download *d = data;
	struct stat st;

	(void)err;
	if (stat(d->path, &st) == 0)
		op_progress(d->op, (uint64_t)st.st_size, d->package->size_bytes, "bytes");
	return 0;
}

int apt_download(const struct apt_package *package, const char *path, struct op *op,
		 struct error *err)
{
	struct download d = { .package = package, .path = path, .op = op };
	const char *argv[] = { HELPER, "download-file", package->uri, path, package->digest, NULL };
	struct task task = TASK_INIT;
	int r;

	if (!package->digest[0])
		return error_set(err, ERR_UNSUPPORTED, "apt knows no digest of %s", package->file);
	op_progress(op, 0, package->size_bytes, "bytes");
	task.argv = argv;
	task.timeout_s = DOWNLOAD_TIMEOUT_S;
	task.tick = download_tick;
	task.tick_data = &d;
	r = task_run(&task, op, err);
	if (r < 0) {
		if (err->code == ERR_INTERNAL)
			err->code = ERR_UPSTREAM;
		return error_wrap(err, "download %s", package->file);
	}
	op_progress(op, package->size_bytes, package->size_bytes, "bytes");
	return 0;
}
