/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "server/image/squashfs.h"
#include "server/unpack/unpack.h"
#include "server/unpack/wire.h"

#define PROGRAM "banger-unpack"

/* Longest that it may say nothing, in seconds. */
enum { SILENCE_S = 600 };

#define RATIO_FROM (16ULL << 30)
#define RATIO_MAX  200

/* One request, with a descriptor (-1: without). */
static int send_request(int wire, const struct unpack_request *request, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct unpack_request copy = *request;
	struct iovec iov = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(wire, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_layers(int wire, const int *layers, size_t n, struct error *err)
{
	const struct unpack_request layer = { .kind = UNPACK_LAYER };
	const struct unpack_request go = { .kind = UNPACK_GO,
					   .bytes_max = LAYERS_BYTES_MAX,
					   .ratio_from = RATIO_FROM,
					   .ratio_max = RATIO_MAX };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = send_request(wire, &layer, layers[i]);
	if (r == 0)
		r = send_request(wire, &go, -1);
	return r < 0 ? error_errno(err, r, "hand the layers to " PROGRAM) : 0;
}

/* Waits for a report: 1, or 0 when there will be none any more. */
static int next_report(int wire, struct op *op, struct unpack_report *ret_report, struct error *err)
{
	struct pollfd p[2] = { { .fd = wire, .events = POLLIN },
			       { .fd = op_cancel_fd(op), .events = POLLIN } };
	ssize_t n;
	int r;

	do
		r = poll(p, 2, SILENCE_S * 1000);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return error_set(err, ERR_TIMEOUT, PROGRAM " does not go on");
	r = op_check(op, err);
	if (r < 0)
		return r;
	n = recv(wire, ret_report, sizeof(*ret_report), 0);
	if (n <= 0)
		return 0;
	if (n != (ssize_t)sizeof(*ret_report))
		return error_set(err, ERR_INTERNAL, PROGRAM " says what can't be understood");
	ret_report->message[sizeof(ret_report->message) - 1] = '\0';
	return 1;
}

/* It is confined because it may be taken over: its words are looked at, too. */
static int take_failure(const struct unpack_report *report, struct error *err)
{
	enum error_code code = report->code > ERR_NONE && report->code < ERROR_CODE_MAX_
				       ? (enum error_code)report->code
				       : ERR_INTERNAL;
	char text[sizeof(report->message)];
	size_t n = 0;

	for (const char *p = report->message; *p; p++)
		text[n++] = (char)(*p >= ' ' && *p < 0x7f ? *p : '?');
	text[n] = '\0';
	return error_set(err, code, "%s", text);
}

static int follow(int wire, struct op *op, struct error *err)
{
	bool writing = false;

	for (;;) {
		struct unpack_report report;
		int r = next_report(wire, op, &report, err);

		if (r < 0)
			return r;
		if (r == 0)
			return error_set(err, ERR_INVALID,
					 PROGRAM
					 " was stopped while it read the layers: they need "
					 "too much memory or time, or do what layers do not");
		if (report.kind == UNPACK_DONE)
			return 0;
		if (report.kind == UNPACK_FAILED)
			return take_failure(&report, err);
		if (report.kind == UNPACK_WRITES && !writing)
			op_stage(op, "squashfs");
		writing = report.kind == UNPACK_WRITES;
		op_progress(op, report.done, report.total, "bytes");
	}
}

static int start(const char *program, int out, struct proc *ret_proc, int *ret_wire,
		 struct error *err)
{
	const char *const argv[] = { program, NULL };
	const char *const env[] = { "LANG=C.UTF-8", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_fd wire = { .theirs = UNPACK_WIRE_FD };
	autoclose int ours = -1, theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "socket for " PROGRAM);
	ours = pair[0];
	theirs = pair[1];
	wire.ours = theirs;
	spec.argv = argv;
	spec.env = env;
	spec.stdout_fd = out;
	spec.fds = &wire;
	spec.n_fds = 1;
	r = proc_spawn(&spec, ret_proc, err);
	if (r == 0)
		*ret_wire = take_fd(&ours);
	return r;
}

/* A stream that nobody takes any more has its reason in the one that has stopped taking it. */
static int explain(struct squashfs *sq, int r, struct error *err)
{
	struct error better = ERROR_INIT;

	if (!strstr(err->msg, "write the stream") || squashfs_finish(sq, &better) == 0)
		return r;
	*err = better;
	return error_to_errno(err);
}

int layers_to_squashfs(const struct image_paths *paths, const struct staging *staging,
		       const int *layers, size_t n_layers, int64_t epoch, struct op *op,
		       struct error *err)
{
	struct squashfs sq CLEANUP(squashfs_abandon) = { .fd = -1, .running = TASK_RUNNING_INIT };
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autofree char *program = path_join(paths->libexec, PROGRAM);
	autoclose int wire = -1;
	autoclose int out = -1;
	int r;

	if (!program)
		return error_errno(err, -ENOMEM, "unpack");
	op_stage(op, "scan");
	r = squashfs_start(&sq, staging, epoch, op, err);
	if (r < 0)
		return r;
	out = squashfs_take_fd(&sq);
	r = start(program, out, &proc, &wire, err);
	close_keep_errno(take_fd(&out));
	if (r == 0)
		r = send_layers(wire, layers, n_layers, err);
	if (r == 0)
		r = follow(wire, op, err);
	return r < 0 ? explain(&sq, r, err) : squashfs_finish(&sq, err);
}
