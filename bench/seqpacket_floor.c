/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for a request to the root helper: a process that sends back as many bytes over a
 * SOCK_SEQPACKET socket, and the client that times either of them.
 *
 *   floor echo SOCKET          answers each datagram with one of the size of a status reply
 *   floor time SOCKET COUNT    sends COUNT status requests; prints the microseconds of each
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/helper/wire.h"

enum { BUFFER = 256, WARM_UP = 50 };

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int echo(int fd, const struct sockaddr_un *address)
{
	char buffer[BUFFER] = "";
	int client;

	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(fd, 1) < 0)
		return 1;
	client = accept(fd, NULL, NULL);
	while (client >= 0 && recv(client, buffer, sizeof(buffer), 0) > 0) {
		size_t size = sizeof(struct helper_reply) + sizeof(struct helper_status_reply);

		if (send(client, buffer, size, MSG_NOSIGNAL) < 0)
			return 1;
	}
	return client < 0;
}

static int time_them(int fd, const struct sockaddr_un *address, int count)
{
	struct helper_head head = { .magic = HELPER_MAGIC,
				    .version = HELPER_VERSION,
				    .op = HELPER_STATUS };
	char buffer[BUFFER];

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return 1;
	for (int i = 0; i < count + WARM_UP; i++) {
		double start = now_us();

		if (send(fd, &head, sizeof(head), MSG_NOSIGNAL) < 0 ||
		    recv(fd, buffer, sizeof(buffer), 0) <= 0)
			return 1;
		if (i >= WARM_UP)
			(void)printf("%.1f\n", now_us() - start);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	if (argc < 3 || fd < 0 || strlen(argv[2]) >= sizeof(address.sun_path))
		return 2;
	(void)strcpy(address.sun_path, argv[2]);
	if (strcmp(argv[1], "echo") == 0)
		return echo(fd, &address);
	return argc == 4 ? time_them(fd, &address, atoi(argv[3])) : 2;
}
