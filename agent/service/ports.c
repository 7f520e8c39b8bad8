/* SPDX-License-Identifier: Apache-2.0 */
/* Listening TCP sockets and whose they are: sockets by inode from /proc/net, holders from /proc. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/service/service.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { TABLE_MAX = 8 * 1024 * 1024, PORTS_MAX = 512, STATE_LISTEN = 0x0a, COMM_MAX = 64 };

struct port {
	uint64_t inode;
	uint16_t port;
	bool v6;
	char address[INET6_ADDRSTRLEN];
	long pid; /* 0: not known */
	char process[COMM_MAX];
};

struct ports {
	struct port *list;
	size_t n;
};

/* "0100007F" or four such words: each word is in the machine's own byte order. */
static bool parse_address(const char *s, bool v6, char *to, size_t size)
{
	uint32_t words[4];
	size_t n = v6 ? 4 : 1;

	for (size_t i = 0; i < n; i++) {
		char word[9];

		memcpy(word, s + 8 * i, 8);
		word[8] = '\0';
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	return inet_ntop(v6 ? AF_INET6 : AF_INET, words, to, (socklen_t)size) != NULL;
}

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …" */
static bool parse_line(char *line, bool v6, struct port *ret)
{
	size_t hex = v6 ? 32 : 8;
	char *fields[10];
	char *save = NULL;
	size_t n = 0;

	for (char *f = strtok_r(line, " ", &save); f && n < ARRAY_SIZE(fields);
	     f = strtok_r(NULL, " ", &save))
		fields[n++] = f;
	if (n < ARRAY_SIZE(fields) || strlen(fields[1]) != hex + 5 || fields[1][hex] != ':' ||
	    strtoul(fields[3], NULL, 16) != STATE_LISTEN)
		return false;
	*ret = (struct port){ .v6 = v6 };
	ret->port = (uint16_t)strtoul(fields[1] + hex + 1, NULL, 16);
	ret->inode = strtoull(fields[9], NULL, 10);
	return parse_address(fields[1], v6, ret->address, sizeof(ret->address));
}

static void read_table(const char *path, bool v6, struct ports *ports)
{
	autofree char *text = NULL;
	char *save = NULL;
	size_t len;

	if (read_file(path, TABLE_MAX, &text, &len) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line && ports->n < PORTS_MAX;
	     line = strtok_r(NULL, "\n", &save))
		if (parse_line(line, v6, &ports->list[ports->n]))
			ports->n++;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static void match_socket(struct ports *ports, const char *link, long pid)
{
	uint64_t inode;

	if (!str_has_prefix(link, "socket:["))
		return;
	inode = strtoull(link + strlen("socket:["), NULL, 10);
	for (size_t i = 0; i < ports->n; i++)
		if (ports->list[i].inode == inode && ports->list[i].pid == 0)
			ports->list[i].pid = pid;
}

static void match_process(struct ports *ports, long pid)
{
	char path[64];
	CLEANUP(closedir_p)
	DIR *dir = NULL;
	const struct dirent *e;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		char link[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		if (n > 0) {
			link[n] = '\0';
			match_socket(ports, link, pid);
		}
	}
}

static void find_holders(struct ports *ports)
{
	CLEANUP(closedir_p)
	DIR *dir = opendir("/proc");
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (*end == '\0' && pid > 0)
			match_process(ports, pid);
	}
	for (size_t i = 0; i < ports->n; i++) {
		autofree char *comm = NULL;
		char path[64];
		size_t len;

		(void)snprintf(path, sizeof(path), "/proc/%ld/comm", ports->list[i].pid);
		if (ports->list[i].pid && read_file(path, COMM_MAX, &comm, &len) == 0)
			(void)snprintf(ports->list[i].process, COMM_MAX, "%.*s",
				       (int)strcspn(comm, "\n"), comm);
	}
}

int call_ports(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	autofree struct port *list = calloc(PORTS_MAX, sizeof(*list));
	struct ports ports = { .list = list };
	json_t *out = json_array();

	(void)agent;
	(void)body;
	if (!list || !out) {
		json_decref(out);
		return error_errno(err, -ENOMEM, "list ports");
	}
	read_table("/proc/net/tcp", false, &ports);
	read_table("/proc/net/tcp6", true, &ports);
	if (ports.n > 0)
		find_holders(&ports);
	for (size_t i = 0; i < ports.n; i++) {
		const struct port *p = &list[i];

		(void)json_array_append_new(out, json_pack("{s:s, s:s, s:i, s:I, s:s}", "protocol",
							   "tcp", "address", p->address, "port",
							   (int)p->port, "pid", (json_int_t)p->pid,
							   "process", p->process));
	}
	*ret_reply = json_pack("{s:o}", "ports", out);
	return 0;
}
