/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may name. Pure functions over bytes that a hostile caller has chosen. */
#include "helper/helper.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/id.h"

static_assert((int)HELPER_ID_LEN == (int)ID_LEN, "ids on the wire are ids");

bool vm_id_ok(const char id[HELPER_ID_LEN])
{
	char s[HELPER_ID_LEN + 1];

	memcpy(s, id, HELPER_ID_LEN);
	s[HELPER_ID_LEN] = '\0';
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
	for (size_t i = len; i < size; i++)
		if (name[i])
			return 0;
	if (len >= sizeof(s))
		return 0;
	memcpy(s, name, len);
	s[len] = '\0';
	name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (strcasecmp(name, allowed[i].name) == 0)
			return allowed[i].number;
	return 0;
}

/* The end of an id is its random half. */
void tap_name(const char id[HELPER_ID_LEN], char *name)
{
	(void)snprintf(name, TAP_NAME_SIZE, TAP_PREFIX "%.12s", id + HELPER_ID_LEN - 12);
}

/* `path` (not NUL-terminated) is `dir` or has it as its first components. */
static bool at_or_below(const char *path, size_t len, const char *dir)
{
	size_t n = strlen(dir);

	return len >= n && memcmp(path, dir, n) == 0 && (len == n || path[n] == '/');
}

/*
 * Lines are "<number>:<controllers>:<path>". systemd keeps its units in the unified hierarchy
 * (cgroup v2: "0::") and, on v1 and hybrid hosts, in the one named "name=systemd"; the others say
 * nothing. The path is compared from its root on, so that a group of the same name that a user
 * made in a slice of their own does not count.
 */
bool cgroup_below(const char *text, const char *unit_path)
{
	if (unit_path[0] != '/' || unit_path[1] == '\0')
		return false;
	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *first = memchr(text, ':', len);
		const char *second =
			first ? memchr(first + 1, ':', len - (size_t)(first + 1 - text)) : NULL;

		if (second) {
			size_t controllers = (size_t)(second - first - 1);
			bool unified = controllers == 0 && first == text + 1 && text[0] == '0';
			bool systemd =
				controllers == 12 && memcmp(first + 1, "name=systemd", 12) == 0;
			const char *path = second + 1;

			if ((unified || systemd) &&
			    at_or_below(path, len - (size_t)(path - text), unit_path))
				return true;
		}
		text += len + (text[len] == '\n');
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
	while (arg < end) {
		const char *next = arg + strlen(arg) + 1;

		if (streq(arg, "--"))
			return NULL;
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

	if (path[0] != '/' || strncmp(path, dir, n) != 0 || path[n] != '/' || path[n + 1] == '\0')
		return false;
	/* No empty, "." or ".." component anywhere. */
	for (const char *p = path; *p;) {
		size_t len;

		p++;
		len = strcspn(p, "/");
		if (len == 0 || (len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
	}
	return true;
}
