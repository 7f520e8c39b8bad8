/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may name. Pure functions over bytes that a hostile caller has chosen. */
#include "helper/helper.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/id.h"

static_assert((int)HELPER_ID_LEN == (int)ID_LEN, "ids on the wire are ids");

bool all_zero(const void *p, size_t n)
{
	const uint8_t *byte = p;

	while (n > 0 && byte[n - 1] == 0)
		n--;
	return n == 0;
}

bool vm_id_ok(const char id[HELPER_ID_LEN])
{
	char s[HELPER_ID_LEN + 1];

	(void)snprintf(s, sizeof(s), "%.*s", HELPER_ID_LEN, id);
	return id_valid(s);
}

/* Neither the network itself, nor the gateway (its first address), nor the broadcast address. */
bool address_ok(const struct config *config, uint32_t address)
{
	uint32_t hosts = UINT32_MAX >> config->prefix;
	uint32_t host = address & hosts;

	return (address & ~hosts) == config->subnet && host > 1 && host < hosts;
}

int signal_number(const char *name, size_t size)
{
	static const struct {
		const char *name;
		int number;
	} allowed[] = {
		{ "TERM", SIGTERM }, { "KILL", SIGKILL }, { "INT", SIGINT },   { "HUP", SIGHUP },
		{ "QUIT", SIGQUIT }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "ABRT", SIGABRT },
	};
	size_t len = strnlen(name, size);
	char s[16];

	/* Behind the name there is nothing but padding. */
	if (len >= sizeof(s) || !all_zero(name + len, size - len))
		return 0;
	(void)snprintf(s, sizeof(s), "%.*s", (int)len, name);
	name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (strcasecmp(name, allowed[i].name) == 0)
			return allowed[i].number;
	return 0;
}

int signal_asked(const struct call *call)
{
	const struct helper_signal_request *req = call->body;

	if (call->op == HELPER_PROCESS_KILL)
		return all_zero(req->signal, sizeof(req->signal)) ? SIGKILL : 0;
	return signal_number(req->signal, sizeof(req->signal));
}

/* The end of an id is its random half. */
void tap_name(const char id[HELPER_ID_LEN], char *name)
{
	(void)snprintf(name, TAP_NAME_SIZE, TAP_PREFIX "%.12s", id + HELPER_ID_LEN - 12);
}

const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : NULL;
}

/*
 * Lines are "<number>:<controllers>:<path>". systemd keeps its units in the unified hierarchy
 * (cgroup v2: "0::") and, on v1 and hybrid hosts, in the one named "name=systemd"; the others say
 * nothing.
 */
const char *cgroup_path(const char *line)
{
	static const char named[] = ":name=systemd:";
	size_t digits = strspn(line, "0123456789");

	if (str_has_prefix(line, "0::"))
		return line + strlen("0::");
	return digits > 0 && str_has_prefix(line + digits, named) ? line + digits + strlen(named)
								  : NULL;
}

/*
 * The path is compared from its root on, so that a group of the same name that a user made in a
 * slice of their own does not count, and by whole components.
 */
bool cgroup_below(const char *text, const char *unit_path)
{
	size_t n = strlen(unit_path);

	if (n < 2 || unit_path[0] != '/')
		return false;
	for (const char *line = text; line; line = next_line(line)) {
		const char *path = cgroup_path(line);

		if (path && str_has_prefix(path, unit_path) && strchr("/\n", path[n]))
			return true;
	}
	return false;
}

const char *api_sock_of(const char *cmdline, size_t len)
{
	const char *end = cmdline + len;
	const char *arg = cmdline;

	/* The last argument ends with a NUL, or was cut: then nothing is believed. */
	if (len == 0 || cmdline[len - 1] != '\0')
		return NULL;
	while (arg < end && !streq(arg, "--")) {
		const char *next = arg + strlen(arg) + 1;

		if (str_has_prefix(arg, "--api-sock="))
			return arg + strlen("--api-sock=");
		if (streq(arg, "--api-sock") || streq(arg, "-a"))
			return next < end ? next : NULL;
		arg = next;
	}
	return NULL;
}

bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (path[0] != '/' || !str_has_prefix(path, dir) || path[n] != '/' || path[n + 1] == '\0')
		return false;
	/* No empty, "." or ".." component anywhere. */
	for (const char *p = path; *p;) {
		size_t len = strcspn(++p, "/");

		if (len == 0 || (len <= 2 && strspn(p, ".") == len))
			return false;
		p += len;
	}
	return true;
}
