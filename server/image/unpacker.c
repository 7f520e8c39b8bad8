/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/unpacker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/passing.h"

#define PROGRAM "banger-unpack"

/* Longest that it may say nothing, in seconds. */
enum { SILENCE_S = 600 };

enum { PACKET_MAX = sizeof(struct unpack_piece) + UNPACK_PIECE_MAX };

void unpacker_done(struct unpacker *u)
{
	proc_kill(&u->proc);
	close_keep_errno(u->wire);
	free(u->packet);
	*u = UNPACKER_INIT;
}

int unpacker_start(const struct image_paths *paths, const char *mode, int out, struct op *op,
		   struct unpacker *ret_unpacker, struct error *err)
{
	struct unpacker u CLEANUP(unpacker_done) = { .proc = PROC_INIT, .wire = -1, .op = op };
	autofree char *program = path_join(paths->libexec, PROGRAM);
	const char *const argv[] = { program, mode, NULL };
	const char *const env[] = { "LANG=C.UTF-8", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_fd wire = { .theirs = UNPACK_WIRE_FD };
	autoclose int theirs = -1;
	int pair[2], r;

	u.packet = malloc(PACKET_MAX);
	if (!program || !u.packet)
		return error_errno(err, -ENOMEM, "start " PROGRAM);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "socket for " PROGRAM);
	u.wire = pair[0];
	theirs = pair[1];
	wire.ours = theirs;
	spec.argv = argv;
	spec.env = env;
	spec.stdout_fd = out;
	spec.fds = &wire;
	spec.n_fds = 1;
	r = proc_spawn(&spec, &u.proc, err);
	if (r < 0)
		return r;
	*ret_unpacker = u;
	u = UNPACKER_INIT;
	return 0;
}

int unpacker_send(const struct unpacker *u, const void *packet, size_t size, int fd,
		  struct error *err)
{
	const struct iovec part = { .iov_base = (void *)(uintptr_t)packet, .iov_len = size };
	ssize_t n = send_with_fd(u->wire, &part, 1, fd, 0);

	return n < 0 ? error_errno(err, (int)n, "hand work to " PROGRAM) : 0;
}

int unpacker_receive(const struct unpacker *u, void *packet, size_t max, size_t *ret_len,
		     struct error *err)
{
	struct pollfd p[2] = { { .fd = u->wire, .events = POLLIN },
			       { .fd = op_cancel_fd(u->op), .events = POLLIN } };
	ssize_t n;
	int r;

	do
		r = poll(p, 2, SILENCE_S * 1000);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return error_set(err, ERR_TIMEOUT, PROGRAM " does not go on");
	r = op_check(u->op, err);
	if (r < 0)
		return r;
	n = recv(u->wire, packet, max, MSG_TRUNC);
	if (n <= 0)
		return 0;
	if ((size_t)n > max)
		return unpacker_confused(err);
	*ret_len = (size_t)n;
	return 1;
}

int unpacker_piece(const struct unpacker *u, struct unpacker_piece *ret_piece, struct error *err)
{
	struct unpack_piece head;
	size_t len = 0;
	int r = unpacker_receive(u, u->packet, PACKET_MAX, &len, err);

	if (r < 0)
		return r;
	if (r == 0 || len < sizeof(head))
		return unpacker_stopped(err);
	memcpy(&head, u->packet, sizeof(head));
	len -= sizeof(head);
	if (head.kind == UNPACK_REFUSED)
		return unpacker_refused(head.code, u->packet + sizeof(head), len, err);
	if (head.kind < UNPACK_MEMBER || head.kind > UNPACK_END)
		return unpacker_confused(err);
	*ret_piece = (struct unpacker_piece){ .kind = (enum unpack_piece_kind)head.kind,
					      .bytes = u->packet + sizeof(head),
					      .len = len };
	return 0;
}

int unpacker_refused(uint32_t code, const char *text, size_t len, struct error *err)
{
	enum error_code known =
		code > ERR_NONE && code < ERROR_CODE_MAX_ ? (enum error_code)code : ERR_INTERNAL;
	char words[sizeof(err->msg)];
	size_t n = 0;

	for (; n < len && n < sizeof(words) - 1 && text[n]; n++)
		words[n] = (char)(text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?');
	words[n] = '\0';
	return error_set(err, known, "%s", words);
}

int unpacker_stopped(struct error *err)
{
	return error_set(err, ERR_INVALID,
			 PROGRAM " was stopped while it read what it was given: that needs too "
				 "much memory or time, or does what archives do not");
}

int unpacker_confused(struct error *err)
{
	return error_set(err, ERR_INTERNAL, PROGRAM " says what can't be understood");
}
