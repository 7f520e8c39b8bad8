/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/run_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/sock.h"
#include "server/vmm/words.h"

enum { LOG_TAIL = 4096 };

int run_dir_open(const struct vmm_config *config)
{
	int fd = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int run_log_create(int dir_fd)
{
	return open_regular_beneath(dir_fd, RUN_LOG, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
}

/* Takes the last acceptable line off the end of `text`. */
static const char *last_said(char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		char *line;

		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
			text[--n] = '\0';
		line = strrchr(text, '\n');
		line = line ? line + 1 : text;
		if (*line && !strstr(line, ": warning:") && !strstr(line, ": info:"))
			return line;
		*line = '\0';
		n = (size_t)(line - text);
	}
	return "";
}

char *run_log_last_line(int dir_fd, char *buf, size_t size)
{
	autoclose int fd = open_regular_beneath(dir_fd, RUN_LOG, O_RDONLY, 0);
	char text[LOG_TAIL + 1];
	const char *line;
	struct stat st;
	ssize_t n = 0;
	size_t used = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		n = pread(fd, text, LOG_TAIL, st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0);
	text[n > 0 ? n : 0] = '\0';
	for (line = last_said(text); *line && used + 1 < size; line++)
		buf[used++] = *line >= ' ' && *line < 0x7f ? *line : '?';
	buf[used] = '\0';
	return buf;
}

int run_console_fifo(int dir_fd)
{
	int fd;

	if (unlinkat(dir_fd, RUN_CONSOLE_FIFO, 0) < 0 && errno != ENOENT)
		return -errno;
	if (mkfifoat(dir_fd, RUN_CONSOLE_FIFO, 0600) < 0)
		return -errno;
	fd = openat(dir_fd, RUN_CONSOLE_FIFO, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int run_pid_write(int dir_fd, const struct proc *proc)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %" PRIu64 "\n", (int)proc->pid, proc->start_time);

	return write_file_at(dir_fd, RUN_PID, text, (size_t)n, 0600);
}

int run_pid_adopt(int dir_fd, struct proc *ret_proc)
{
	autofree char *text = NULL;
	uint64_t start_time;
	const char *p;
	uint64_t pid;
	int r;

	r = read_file_at(dir_fd, RUN_PID, 64, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	p = text;
	if (!word_number(&p, 10, &pid) || !word_number(&p, 10, &start_time) || pid > INT_MAX ||
	    start_time == 0)
		return -ESRCH;
	return proc_adopt((pid_t)pid, start_time, ret_proc);
}

int run_connect(const struct vmm_config *config, const char *name)
{
	autoclose int dir_fd = run_dir_open(config);

	return dir_fd < 0 ? dir_fd : sock_connect_at(dir_fd, name, true);
}
