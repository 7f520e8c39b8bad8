/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/guest_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/tree.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

char *guest_file_path(const char *vm, const char *path, const char *query)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	autofree char *escaped = malloc(3 * strlen(path) + 1);
	static const char hex[] = "0123456789ABCDEF";
	char *out = escaped, *full = NULL;

	if (!escaped)
		return NULL;
	for (path += strspn(path, "/"); *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (strchr(plain, c)) {
			*out++ = *path;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
	return asprintf(&full, "%s/files/%s%s", vm, escaped, query) < 0 ? NULL : full;
}

static int no_memory(void)
{
	(void)fprintf(stderr, "banger: out of memory\n");
	return EXIT_FAILED;
}

int guest_file_look(struct cli *cli, const char *vm, const char *path, char type[8],
		    mode_t *ret_mode)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *full = guest_file_path(vm, path, "");
	struct client_request request = { .method = "HEAD", .path = full };

	if (strspn(path, "/") == strlen(path)) {
		(void)snprintf(type, 8, "dir");
		return 0;
	}
	if (!full)
		return no_memory();
	if (client_do(cli->client, &request, &reply, &err) < 0)
		return cli_fail(cli, &err);
	type[0] = '\0';
	if (reply.status == 404)
		return 0;
	if (reply.status >= 400) {
		/* HEAD has no words for it. */
		request.method = "GET";
		client_reply_done(&reply);
		if (client_do(cli->client, &request, &reply, &err) < 0)
			return cli_fail(cli, &err);
		return cli_fail_reply(cli, &reply);
	}
	(void)snprintf(type, 8, "%s", reply.file_type);
	if (ret_mode)
		*ret_mode = (mode_t)strtoul(reply.file_mode, NULL, 8);
	return 0;
}

/* --- bytes --- */

static ssize_t read_fd(void *data, char *to, size_t max)
{
	const int *fd = data;
	ssize_t n;

	do {
		n = read(*fd, to, max);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int write_fd(void *data, const char *bytes, size_t len)
{
	const int *fd = data;

	return write_all(*fd, bytes, len);
}

int guest_file_write(struct cli *cli, const char *vm, const char *path, mode_t mode, bool parents,
		     int fd, int64_t length)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "PUT",
					  .on_read = read_fd,
					  .read_data = &fd,
					  .content_type = "application/octet-stream",
					  .length = length };
	autofree char *full = NULL;
	char query[64];
	int status = 0;

	(void)snprintf(query, sizeof(query), "?mode=%04o&parents=%s", (unsigned int)(mode & 07777),
		       parents ? "true" : "false");
	full = guest_file_path(vm, path, query);
	if (!full)
		return no_memory();
	request.path = full;
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}

int guest_archive_write(struct cli *cli, const char *vm, const char *path, int fd)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *full = guest_file_path(vm, path, "?tar=true");
	struct client_request request = { .method = "PUT",
					  .path = full,
					  .on_read = read_fd,
					  .read_data = &fd,
					  .content_type = "application/x-tar",
					  .length = -1 };
	int status = 0;

	if (!full)
		return no_memory();
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}

static int read_whole(struct cli *cli, const char *vm, const char *path, const char *query,
		      const char *type, int fd)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *full = guest_file_path(vm, path, query);
	struct client_request request = {
		.method = "GET", .path = full, .accept = type, .on_data = write_fd, .data = &fd
	};
	int status = 0;

	if (!full)
		return no_memory();
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}

int guest_file_read(struct cli *cli, const char *vm, const char *path, int fd)
{
	return read_whole(cli, vm, path, "", "application/octet-stream", fd);
}

int guest_archive_read(struct cli *cli, const char *vm, const char *path, int fd)
{
	return read_whole(cli, vm, path, "?tar=true", "application/x-tar", fd);
}

/* --- trees --- */

/* What went wrong on this host says more than the broken transfer that came of it. */
static int end_tree(struct cli *cli, struct tree *tree, const struct client_reply *reply,
		    const struct error *transfer)
{
	struct error err = ERROR_INIT;
	int r = tree_end(tree, &err);

	if (r < 0 && err.sys != EPIPE)
		return cli_fail(cli, &err);
	if (reply->status >= 400)
		return cli_fail_reply(cli, reply);
	return transfer->code != ERR_NONE ? cli_fail(cli, transfer) : 0;
}

int guest_tree_send(struct cli *cli, const char *method, const char *target,
		    const struct tar_part *parts, size_t n)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error err = ERROR_INIT;
	struct tree tree;
	struct client_request request = { .method = method,
					  .path = target,
					  .on_read = read_fd,
					  .read_data = &tree.fd,
					  .content_type = "application/x-tar",
					  .length = -1 };

	if (tree_pack(&tree, parts, n, &err) < 0)
		return cli_fail(cli, &err);
	(void)!client_do(cli->client, &request, &reply, &err);
	return end_tree(cli, &tree, &reply, &err);
}

int guest_tree_write(struct cli *cli, const char *vm, const char *path, int dir_fd)
{
	autofree char *full = guest_file_path(vm, path, "?tar=true");
	const struct tar_part all = { .dir_fd = dir_fd };

	return full ? guest_tree_send(cli, "PUT", full, &all, 1) : no_memory();
}

int guest_tree_read(struct cli *cli, const char *vm, const char *path, int dir_fd)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *full = guest_file_path(vm, path, "?tar=true");
	struct error err = ERROR_INIT;
	struct tree tree;
	struct client_request request = { .method = "GET",
					  .path = full,
					  .accept = "application/x-tar",
					  .on_data = write_fd,
					  .data = &tree.fd };

	if (!full)
		return no_memory();
	if (tree_unpack(&tree, dir_fd, &err) < 0)
		return cli_fail(cli, &err);
	(void)!client_do(cli->client, &request, &reply, &err);
	return end_tree(cli, &tree, &reply, &err);
}
