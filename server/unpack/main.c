/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-unpack: the layers of an image, which it is given as descriptors, as one tar stream on its
 * standard output. Started by the server for one image; see wire.h. It confines itself before the
 * first byte of a layer is read, and can then open nothing.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "server/unpack/confine.h"
#include "server/unpack/unpack.h"
#include "server/unpack/wire.h"

static int layers[UNPACK_LAYERS_MAX];

/* One request; *ret_fd is -1 when it came without a descriptor. */
static int receive(struct unpack_request *ret_request, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = ret_request, .iov_len = sizeof(*ret_request) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(UNPACK_WIRE_FD, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*ret_request))
		return -EPROTO;
	*ret_fd = -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return 0;
}

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

static int run(struct error *err)
{
	struct unpack u = { .layers = layers, .out_fd = STDOUT_FILENO, .progress = on_progress };
	int r;

	/* Any other encoding would make libarchive load converters, which it can't from here on. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return error_set(err, ERR_UNSUPPORTED, "this system has no locale C.UTF-8");
	r = confine_self();
	if (r < 0)
		return error_errno(err, r, "confine banger-unpack");
	for (;;) {
		struct unpack_request request;
		int fd;

		r = receive(&request, &fd);
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

int main(void)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct unpack_report last = { .kind = UNPACK_DONE };
	struct error err = ERROR_INIT;

	(void)sigaction(SIGPIPE, &ignore, NULL);
	if (run(&err) < 0) {
		last.kind = UNPACK_FAILED;
		last.code = (uint32_t)err.code;
		(void)snprintf(last.message, sizeof(last.message), "%.500s", err.msg);
	}
	report(&last);
	_exit(last.kind == UNPACK_DONE ? 0 : 1);
}
