/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the server by the soak: while the file $BANGER_SLOW_DISK exists, everything that
 * is forced to disk takes as many milliseconds longer as it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static void wait_as_told(void)
{
	const char *path = getenv("BANGER_SLOW_DISK");
	char text[16] = "";
	int kept = errno;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
		long ms = strtol(text, NULL, 10);
		struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

		(void)nanosleep(&ts, NULL);
	}
	if (fd >= 0)
		(void)close(fd);
	errno = kept;
}

int fsync(int fd)
{
	wait_as_told();
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	wait_as_told();
	return (int)syscall(SYS_fdatasync, fd);
}
