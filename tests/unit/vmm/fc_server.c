/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vmm/fc_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/sock.h"
#include "tests/unit/test.h"

/* Reads a request: headers, and as many bytes of body as they announce. */
static bool hear(struct fc_server *s, int fd)
{
	size_t have = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = s->stop_fd, .events = POLLIN } };
		const char *body;
		const char *length;
		ssize_t n;

		(void)poll(p, 2, -1);
		if (p[1].revents)
			return false;
		n = read(fd, s->heard + have, sizeof(s->heard) - 1 - have);
		if (n <= 0)
			return false;
		have += (size_t)n;
		s->heard[have] = '\0';
		body = strstr(s->heard, "\r\n\r\n");
		length = strstr(s->heard, "Content-Length: ");
		if (body && (!length || strlen(body + 4) >= strtoul(length + 16, NULL, 10)))
			return true;
	}
}

static void answer(const struct fc_server *s, int fd, const char *bytes, size_t len)
{
	size_t step = s->byte_by_byte ? 1 : len;

	for (size_t at = 0; at < len; at += step) {
		if (send(fd, bytes + at, step, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void *server_main(void *data)
{
	struct fc_server *s = data;

	for (size_t i = 0; i < FC_SERVER_ANSWERS; i++) {
		struct pollfd p[2] = { { .fd = s->listen_fd, .events = POLLIN },
				       { .fd = s->stop_fd, .events = POLLIN } };
		int fd;

		(void)poll(p, 2, -1);
		if (p[1].revents)
			break;
		fd = accept(s->listen_fd, NULL, NULL);
		if (fd < 0)
			break;
		if (hear(s, fd)) {
			if (s->answers[i])
				answer(s, fd, s->answers[i],
				       s->answer_lens[i] ? s->answer_lens[i]
							 : strlen(s->answers[i]));
			else
				(void)hear(s, fd);
		}
		(void)close(fd);
	}
	return NULL;
}

void fc_server_start(struct fc_server *s)
{
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/banger-fc-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->listen_fd = sock_listen_at(s->dir_fd, RUN_API_SOCK);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(s->dir_fd >= 0 && s->listen_fd >= 0 && s->stop_fd >= 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

void fc_server_stop(struct fc_server *s)
{
	assert_int_equal(eventfd_write(s->stop_fd, 1), 0);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->listen_fd);
	(void)close(s->stop_fd);
	(void)close(s->dir_fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, s->dir), 0);
}
