/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/run_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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
	char text[96];
	struct stat st;
	int n;

	if (fstat(dir_fd, &st) < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%d %" PRIu64 " %" PRIu64 "\n", (int)proc->pid,
		     proc->start_time, (uint64_t)st.st_ino);
	return write_file_at(dir_fd, RUN_PID, text, (size_t)n, 0600);
}

struct pid_file {
	uint64_t pid;
	uint64_t start_time;
	uint64_t inode; /* of the folder; 0: not said */
};

static int read_pid_file(int dir_fd, struct pid_file *ret)
{
	autofree char *text = NULL;
	const char *p;
	int r = read_file_at(dir_fd, RUN_PID, 96, &text, NULL);

	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	p = text;
	if (!word_number(&p, 10, &ret->pid) || !word_number(&p, 10, &ret->start_time) ||
	    ret->pid > INT_MAX || ret->start_time == 0)
		return -ESRCH;
	if (!word_number(&p, 10, &ret->inode))
		ret->inode = 0;
	return 0;
}

static bool is_of(const struct pid_file *file, int dir_fd)
{
	struct stat st;

	return file->inode == 0 || (fstat(dir_fd, &st) == 0 && (uint64_t)st.st_ino == file->inode);
}

int run_pid_adopt(int dir_fd, struct proc *ret_proc)
{
	struct pid_file file;
	int r = read_pid_file(dir_fd, &file);

	if (r < 0)
		return r;
	return is_of(&file, dir_fd) ? proc_adopt((pid_t)file.pid, file.start_time, ret_proc)
				    : -ESRCH;
}

bool run_pid_is_copy(int dir_fd)
{
	struct pid_file file;

	return read_pid_file(dir_fd, &file) == 0 && !is_of(&file, dir_fd);
}

int run_connect(const struct vmm_config *config, const char *name)
{
	autoclose int dir_fd = run_dir_open(config);

	return dir_fd < 0 ? dir_fd : sock_connect_at(dir_fd, name, true);
}

int run_ask(const struct vmm_config *config, const char *name, const char *question)
{
	autoclose int fd = run_connect(config, name);
	size_t len = strlen(question);
	ssize_t sent;

	if (fd < 0)
		return fd;
	sent = send(fd, question, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent != (ssize_t)len)
		return sent < 0 ? -errno : -EIO;
	return take_fd(&fd);
}
