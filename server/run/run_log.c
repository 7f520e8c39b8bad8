/* SPDX-License-Identifier: Apache-2.0 */
/* A run's log: NDJSON lines in a file, and those who follow it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/run/run_internal.h"

enum { PIECE_MAX = 16 * 1024 };

struct run_watcher {
	struct run *run;
	struct run_watcher *next;
	run_watch_fn *fn;
	void *data;
	bool gone;
};

int run_log_open(struct run *run, struct error *err)
{
	run->dir_fd = open_subdir(run->runs->dir_fd, run->id, 0700);
	if (run->dir_fd < 0)
		return error_errno(err, run->dir_fd, "folder of run %s", run->id);
	run->log_fd = open_regular_beneath(run->dir_fd, "log", O_RDWR | O_CREAT | O_APPEND, 0600);
	if (run->log_fd < 0)
		return error_errno(err, run->log_fd, "log of run %s", run->id);
	return 0;
}

/* Watchers that left during the walk are dropped behind it. */
static void tell(struct run *run)
{
	struct run_watcher **at = &run->watchers;

	for (struct run_watcher *w = run->watchers; w; w = w->next)
		if (!w->gone)
			w->fn(run, w->data);
	while (*at) {
		struct run_watcher *w = *at;

		if (w->gone || run->phase == RUN_PHASE_ENDED) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

static void append(struct run *run, char *text)
{
	size_t len = strlen(text);
	struct error err = ERROR_INIT;
	int r;

	text[len++] = '\n';
	if (run->log_full || run->log_fd < 0)
		return;
	r = write_all(run->log_fd, text, len);
	if (r < 0) {
		(void)error_errno(&err, r, "log of run %s", run->id);
		log_error("%s", err.msg);
		run->log_full = true;
		return;
	}
	run->log_size += len;
}

void run_log_line(struct run *run, json_t *line)
{
	autofree char *text = json_text(line);

	json_decref(line);
	if (text)
		append(run, text);
	tell(run);
}

static json_t *output_frame(const char *type, const void *bytes, size_t len)
{
	json_t *data = memchr(bytes, 0, len) ? NULL : json_stringn(bytes, len);
	autofree char *encoded = data ? NULL : base64_encode(bytes, len);

	return data ? json_pack("{s:s, s:o}", "type", type, "data", data)
		    : json_pack("{s:s, s:s}", "type", type, "base64", encoded ? encoded : "");
}

void run_log_output(struct run *run, bool is_stderr, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len > 0) {
		size_t n = len < PIECE_MAX ? len : PIECE_MAX;

		/* Room for the stages and the end stays. */
		if (run->log_size + (size_t)PIECE_MAX * 8 > RUN_LOG_MAX) {
			run->log_full = true;
			return;
		}
		run_log_line(run, output_frame(is_stderr ? "stderr" : "stdout", p, n));
		p += n;
		len -= n;
	}
}

void run_log_amend(struct runs *runs, const char *id, json_t *line)
{
	autofree char *text = json_text(line);
	char name[ID_LEN + 8];
	char last = '\n';
	autoclose int fd = -1;
	size_t len = text ? strlen(text) : 0;
	off_t size;

	json_decref(line);
	(void)snprintf(name, sizeof(name), "%.*s/log", ID_LEN, id);
	fd = open_regular_beneath(runs->dir_fd, name, O_RDWR | O_APPEND, 0);
	size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (!text || size < 0)
		return;
	text[len] = '\n'; /* in the place of the NUL */
	if (size > 0 && pread(fd, &last, 1, size - 1) < 0)
		return;
	if ((last != '\n' && write_all(fd, "\n", 1) < 0) || write_all(fd, text, len + 1) < 0)
		log_warn("the log of run %s does not say how it ended", id);
}

struct run_watcher *run_watch(struct run *run, run_watch_fn *fn, void *data)
{
	struct run_watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct run_watcher){ .run = run, .next = run->watchers, .fn = fn, .data = data };
	run->watchers = w;
	return w;
}

/* It may stand in the middle of tell(): freed there, or with the run. */
void run_unwatch(struct run_watcher *w)
{
	if (w)
		w->gone = true;
}

void run_log_close(struct run *run)
{
	while (run->watchers) {
		struct run_watcher *w = run->watchers;

		run->watchers = w->next;
		free(w);
	}
	close_keep_errno(take_fd(&run->log_fd));
	close_keep_errno(take_fd(&run->dir_fd));
}
