/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "lib/proc/proc.h"

enum { CONFIG_MAX = 1 << 20, HELPER_TIMEOUT_MS = 30 * 1000 };

/* The name that Docker's own registry has in this file. */
static const char hub_key[] = "https://index.docker.io/v1/";

static int fill(struct credentials *c, const char *user, const char *password, struct error *err)
{
	if (!user || !password || strlen(user) >= sizeof(c->user) ||
	    strlen(password) >= sizeof(c->password) || strchr(user, ':'))
		return error_set(err, ERR_INVALID,
				 "the credentials of the registry can't be understood");
	(void)snprintf(c->user, sizeof(c->user), "%s", user);
	(void)snprintf(c->password, sizeof(c->password), "%s", password);
	return 1;
}

static int from_entry(const json_t *entry, struct credentials *c, struct error *err)
{
	const char *auth = json_string_value(json_object_get(entry, "auth"));
	char text[sizeof(c->user) + sizeof(c->password)];
	char *colon;
	ssize_t n;

	if (json_object_get(entry, "username"))
		return fill(c, json_string_value(json_object_get(entry, "username")),
			    json_string_value(json_object_get(entry, "password")), err);
	if (!auth || !*auth)
		return 0;
	n = strlen(auth) / 4 * 3 < sizeof(text)
		    ? base64_decode(auth, strlen(auth), (unsigned char *)text)
		    : -EINVAL;
	if (n < 0 || (size_t)n >= sizeof(text))
		return fill(c, NULL, NULL, err);
	text[n] = '\0';
	colon = strchr(text, ':');
	if (colon)
		*colon++ = '\0';
	return fill(c, text, colon, err);
}

/* A helper of the name "secretservice" is the program docker-credential-secretservice. */
static int from_helper(const char *name, const char *host, struct credentials *c, struct error *err)
{
	struct proc_result result CLEANUP(proc_result_done) = { 0 };
	autofree char *program = NULL;
	autofree char *path = NULL;
	const char *argv[] = { NULL, "get", NULL };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	json_auto_t *reply = NULL;
	int r;

	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")] ||
	    asprintf(&program, "docker-credential-%s", name) < 0)
		return fill(c, NULL, NULL, err);
	path = proc_find_program(program);
	if (!path)
		return error_set(err, ERR_UNSUPPORTED,
				 "%s, which keeps the credentials of %s, is not installed", program,
				 host);
	argv[0] = path;
	spec.argv = argv;
	run.input = host;
	run.input_len = strlen(host);
	run.timeout_ms = HELPER_TIMEOUT_MS;
	r = proc_run(&spec, &run, &result, err);
	if (r < 0)
		return r;
	/* Its way to say that it knows none. */
	if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0)
		return 0;
	reply = json_parse(result.out, result.out_len, err);
	if (!reply)
		return error_wrap(err, "%s", program);
	return fill(c, json_string_value(json_object_get(reply, "Username")),
		    json_string_value(json_object_get(reply, "Secret")), err);
}

static char *config_path(const char *folder)
{
	/* The environment does not change after the start. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *other = getenv("DOCKER_CONFIG");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *home = getenv("HOME");
	char *s = NULL;

	if (!folder && other)
		folder = other;
	if (folder)
		return path_join(folder, "config.json");
	return home && asprintf(&s, "%s/.docker/config.json", home) >= 0 ? s : NULL;
}

int credentials_find(const char *folder, const char *host, struct credentials *ret_credentials,
		     struct error *err)
{
	const char *key = streq(host, "docker.io") ? hub_key : host;
	autofree char *path = config_path(folder);
	json_auto_t *config = NULL;
	autofree char *text = NULL;
	autofree char *url = NULL;
	const json_t *auths;
	const json_t *entry;
	const char *helper;
	size_t len;
	int r;

	if (!path || read_file(path, CONFIG_MAX, &text, &len) < 0)
		return 0;
	config = json_parse(text, len, err);
	if (!config)
		return error_wrap(err, "%s", path);
	helper = json_string_value(json_object_get(json_object_get(config, "credHelpers"), key));
	if (!helper)
		helper = json_string_value(json_object_get(config, "credsStore"));
	if (helper) {
		r = from_helper(helper, key, ret_credentials, err);
		if (r != 0)
			return r;
	}
	auths = json_object_get(config, "auths");
	entry = json_object_get(auths, key);
	if (!entry && asprintf(&url, "https://%s", host) >= 0)
		entry = json_object_get(auths, url);
	r = entry ? from_entry(entry, ret_credentials, err) : 0;
	return r < 0 ? error_wrap(err, "%s", path) : r;
}
