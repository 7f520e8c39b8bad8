/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for bytes between host and guest: a plain copy over the agent's own device, between it
 * and a file. It waits until the server has let go of the device, holds the agent still, and serves
 * whoever connects next, a line each: "in BYTES PATH" or "out BYTES PATH". A line comes back when
 * the bytes of "in" are in the file. It ends, and lets the agent go on, with the connection. Linked
 * statically, so that it runs in any guest.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, AGENT = 1, FDS = 1024, LINE = 256, AFTER_MS = 60000 };

/* The agent's descriptor of the device, as one of this process. */
static int borrow_device(void)
{
	long agent = syscall(SYS_pidfd_open, AGENT, 0);

	for (int fd = 0; agent >= 0 && fd < FDS; fd++) {
		char path[64], name[64] = "";

		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", AGENT, fd);
		if (readlink(path, name, sizeof(name) - 1) > 0 && strstr(name, "/vport"))
			return (int)syscall(SYS_pidfd_getfd, agent, fd, 0);
	}
	return -1;
}

static int is_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static int await(int fd, int connected)
{
	for (int ms = 0; ms < AFTER_MS; ms++) {
		if (is_connected(fd) == connected)
			return 0;
		(void)usleep(1000);
	}
	return -1;
}

/* Bytes that went through at once; 0 when the host is gone. */
static size_t some(int fd, char *bytes, size_t len, short what)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = what };
		ssize_t n = what == POLLIN ? read(fd, bytes, len) : write(fd, bytes, len);

		if (n > 0)
			return (size_t)n;
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return 0;
		(void)poll(&p, 1, -1);
	}
}

static int say(int fd, char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = some(fd, bytes, len, POLLOUT);

		if (n == 0)
			return -1;
		bytes += n;
		len -= n;
	}
	return 0;
}

static int copy(int device, int file, int in, unsigned long long left)
{
	static char bytes[CHUNK];

	while (left > 0) {
		size_t max = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t n = in ? (ssize_t)some(device, bytes, max, POLLIN) : read(file, bytes, max);

		if (n <= 0 ||
		    (in ? write(file, bytes, (size_t)n) != n : say(device, bytes, (size_t)n)))
			return -1;
		left -= (unsigned long long)n;
	}
	return 0;
}

static int serve(int device)
{
	char line[LINE], path[LINE], word[8];
	unsigned long long bytes;
	size_t len = 0;
	int file, in, r;

	while (len + 1 < sizeof(line) && (len == 0 || line[len - 1] != '\n'))
		if (some(device, line + len, 1, POLLIN) == 1)
			len++;
		else
			return -1;
	line[len] = '\0';
	if (sscanf(line, "%7s %llu %255s", word, &bytes, path) != 3)
		return -1;
	in = strcmp(word, "in") == 0;
	file = open(path, in ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0600);
	if (file < 0)
		return -1;
	r = copy(device, file, in, bytes);
	(void)close(file);
	return r == 0 && in ? say(device, line, len) : r;
}

int main(void)
{
	int device = borrow_device();

	if (device < 0 || await(device, 0) < 0)
		return 1;
	if (ptrace(PTRACE_SEIZE, AGENT, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, AGENT, 0, 0) < 0 ||
	    waitpid(AGENT, NULL, __WALL) < 0)
		return 1;
	if (await(device, 1) < 0)
		return 1;
	while (serve(device) == 0)
		;
	/* The agent goes on with this process' end. */
	return 0;
}
