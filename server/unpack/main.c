/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-unpack: reads what is hostile for the server, one image or kernel a process: the layers of
 * an image, which become one tar stream on its standard output, or packages and compressed files;
 * see wire.h. It is given them as descriptors, confines itself before their first byte is read, and
 * can then open nothing.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/passing.h"
#include "server/unpack/confine.h"
#include "server/unpack/files.h"
#include "server/unpack/members.h"
#include "server/unpack/unpack.h"
#include "server/unpack/wire.h"

static int layers[UNPACK_LAYERS_MAX];

/* One request of this size; *ret_fd is -1 when it came without a descriptor. -ECONNRESET: there
 * will be none any more. */
static int receive(void *request, size_t size, int *ret_fd)
{
	const struct iovec part = { .iov_base = request, .iov_len = size };
	int flags;
	ssize_t n = receive_with_fd(UNPACK_WIRE_FD, &part, 1, 0, ret_fd, &flags);

	if (n == 0)
		return -ECONNRESET;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

/* --- layers --- */

static void report(const struct unpack_report *r)
{
	/* When the server has gone there is nobody to tell; the stream breaks, too. */
	(void)!send(UNPACK_WIRE_FD, r, sizeof(*r), MSG_NOSIGNAL);
}

static void on_progress(void *data, bool writing, uint64_t done, uint64_t total)
{
	struct unpack_report r = { .kind = writing ? UNPACK_WRITES : UNPACK_SCANS,
				   .done = done,
				   .total = total };

	(void)data;
	report(&r);
}

static void on_scanned(void *data, uint64_t newest)
{
	struct unpack_report r = { .kind = UNPACK_SCANNED, .newest = newest };

	(void)data;
	report(&r);
}

static int read_layers(struct error *err)
{
	struct unpack u = { .layers = layers,
			    .out_fd = STDOUT_FILENO,
			    .progress = on_progress,
			    .scanned = on_scanned };

	for (;;) {
		struct unpack_request request;
		int fd, r = receive(&request, sizeof(request), &fd);

		if (r < 0)
			return error_errno(err, r, "take the layers");
		if (request.kind == UNPACK_GO) {
			u.bytes_max = request.bytes_max;
			u.ratio_from = request.ratio_from;
			u.ratio_max = request.ratio_max;
			return unpack_run(&u, err);
		}
		if (request.kind != UNPACK_LAYER || fd < 0 || u.n_layers == UNPACK_LAYERS_MAX)
			return error_set(err, ERR_TOO_LARGE, "more than %d layers",
					 UNPACK_LAYERS_MAX);
		layers[u.n_layers++] = fd;
	}
}

/* --- files --- */

static int send_piece(enum unpack_piece_kind kind, enum error_code code, const void *bytes,
		      size_t len)
{
	static char packet[sizeof(struct unpack_piece) + UNPACK_PIECE_MAX];
	const struct unpack_piece piece = { .kind = kind, .code = (uint32_t)code };
	ssize_t n;

	memcpy(packet, &piece, sizeof(piece));
	if (len > 0)
		memcpy(packet + sizeof(piece), bytes, len);
	do
		n = send(UNPACK_WIRE_FD, packet, sizeof(piece) + len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int on_member(void *data, const char *name, struct error *err)
{
	size_t len = strlen(name);
	int r = len > UNPACK_PIECE_MAX ? -ENAMETOOLONG
				       : send_piece(UNPACK_MEMBER, ERR_NONE, name, len);

	(void)data;
	return r < 0 ? error_errno(err, r, "tell of a file") : 0;
}

static int on_bytes(void *data, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;
	int r = 0;

	(void)data;
	while (len > 0 && r == 0) {
		size_t n = len < UNPACK_PIECE_MAX ? len : UNPACK_PIECE_MAX;

		r = send_piece(UNPACK_BYTES, ERR_NONE, at, n);
		at += n;
		len -= n;
	}
	return r < 0 ? error_errno(err, r, "hand over a file") : 0;
}

static int on_listed(void *data, const struct unpack_listed *member, struct error *err)
{
	int r = send_piece(UNPACK_MEMBER, ERR_NONE, member, sizeof(*member));

	(void)data;
	return r < 0 ? error_errno(err, r, "tell of a file") : 0;
}

static int run_job(const struct unpack_job *job, int fd, struct error *err)
{
	static const struct files_sink sink = { .member = on_member, .bytes = on_bytes };
	const struct files_range range = { .at = job->at,
					   .len = job->len,
					   .out_len = job->out_len };

	if (fd >= 0 && job->kind == UNPACK_PACKAGE)
		return files_package(fd, &sink, NULL, err);
	if (fd >= 0 && job->kind == UNPACK_PLAIN)
		return files_plain(fd, &range, &sink, NULL, err);
	if (fd >= 0 && job->kind == UNPACK_LIST)
		return members_list(fd, on_listed, NULL, err);
	return error_set(err, ERR_INTERNAL, "a job that is none");
}

/* Until the server has no more to read. */
static int read_files(void)
{
	for (;;) {
		struct error err = ERROR_INIT;
		struct unpack_job job;
		int fd, r = receive(&job, sizeof(job), &fd);

		if (r < 0)
			return r == -ECONNRESET ? 0 : r;
		if (run_job(&job, fd, &err) < 0)
			r = send_piece(UNPACK_REFUSED, err.code, err.msg, strlen(err.msg));
		else
			r = send_piece(UNPACK_END, ERR_NONE, NULL, 0);
		close_keep_errno(fd);
		if (r < 0)
			return r;
	}
}

/* --- */

static int confine(struct error *err)
{
	int r;

	/* Any other encoding would make libarchive load converters, which it can't from here on. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return error_set(err, ERR_UNSUPPORTED, "this system has no locale C.UTF-8");
	r = confine_self();
	return r < 0 ? error_errno(err, r, "confine banger-unpack") : 0;
}

static bool layers_main(struct error *err)
{
	struct unpack_report last = { .kind = UNPACK_DONE };

	if (err->code != ERR_NONE || read_layers(err) < 0) {
		last.kind = UNPACK_FAILED;
		last.code = (uint32_t)err->code;
		(void)snprintf(last.message, sizeof(last.message), "%.490s", err->msg);
	}
	report(&last);
	return last.kind == UNPACK_DONE;
}

static bool files_main(const struct error *err)
{
	if (err->code == ERR_NONE)
		return read_files() == 0;
	(void)send_piece(UNPACK_REFUSED, err->code, err->msg, strlen(err->msg));
	return false;
}

int main(int argc, char **argv)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct error err = ERROR_INIT;
	bool good;

	if (argc != 2 || (!streq(argv[1], UNPACK_LAYERS) && !streq(argv[1], UNPACK_FILES))) {
		(void)fputs("banger-unpack is started by banger-server\n", stderr);
		return 2;
	}
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)confine(&err);
	good = streq(argv[1], UNPACK_LAYERS) ? layers_main(&err) : files_main(&err);
	_exit(good ? 0 : 1);
}
