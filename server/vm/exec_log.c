/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: EXEC_LOG_PIECES records of 16 bytes, then the ring of bytes. A piece is a run of bytes
 * of one stream; its record (offset behind its last byte; its number and its stream) lies at its
 * number modulo EXEC_LOG_PIECES. Bytes are written before the record that counts them, so after a
 * crash the newest record tells where the log ends, and what came behind it comes again. Those
 * bytes may have overwritten the oldest ones already: that much of the ring is never read.
 */
#include "server/vm/exec_log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

struct record {
	uint64_t end;
	uint64_t id; /* number of the piece (from 1) times two; 1 more for standard error */
};

enum {
	RECORDS_SIZE = EXEC_LOG_PIECES * (int)sizeof(struct record),
	READABLE = EXEC_LOG_RING - EXEC_LOG_APPEND_MAX,
	BLOCK = 1024, /* records read at once */
};

static int pread_all(int fd, void *to, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pread(fd, to, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) { /* a hole behind the end */
			memset(to, 0, len);
			return 0;
		}
		to = (char *)to + n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

static int pwrite_all(int fd, const void *from, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from = (const char *)from + n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

static off_t record_at(uint64_t piece)
{
	return (off_t)(piece % EXEC_LOG_PIECES * sizeof(struct record));
}

/* Finds the newest record and the run of numbers that leads to it. */
static int find_end(struct exec_log *log)
{
	struct record block[BLOCK];
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < EXEC_LOG_PIECES; i += BLOCK) {
		int r = pread_all(log->fd, block, sizeof(block),
				  (off_t)(i * sizeof(struct record)));

		if (r < 0)
			return r;
		for (size_t k = 0; k < BLOCK; k++) {
			uint64_t piece = block[k].id >> 1;

			if (piece == 0)
				continue;
			if (piece < lowest)
				lowest = piece;
			if (piece <= log->last)
				continue;
			log->last = piece;
			log->end = block[k].end;
			log->is_stderr = block[k].id & 1;
		}
	}
	log->first = log->last ? lowest : 0;
	return 0;
}

int exec_log_open(int dir_fd, const char *name, struct exec_log *ret_log)
{
	struct exec_log log = EXEC_LOG_INIT;
	int r;

	log.fd = open_regular_beneath(dir_fd, name, O_RDWR | O_CREAT, 0600);
	if (log.fd < 0)
		return log.fd;
	r = find_end(&log);
	if (r < 0) {
		exec_log_close(&log);
		return r;
	}
	*ret_log = log;
	return 0;
}

void exec_log_close(struct exec_log *log)
{
	close_keep_errno(take_fd(&log->fd));
}

static int write_bytes(const struct exec_log *log, const char *bytes, size_t len)
{
	uint64_t offset = log->end;

	while (len > 0) {
		size_t at = (size_t)(offset % EXEC_LOG_RING);
		size_t n = EXEC_LOG_RING - at < len ? EXEC_LOG_RING - at : len;
		int r = pwrite_all(log->fd, bytes, n, RECORDS_SIZE + (off_t)at);

		if (r < 0)
			return r;
		offset += n;
		bytes += n;
		len -= n;
	}
	return 0;
}

int exec_log_append(struct exec_log *log, bool is_stderr, const void *bytes, size_t len)
{
	uint64_t piece = log->last && log->is_stderr == is_stderr ? log->last : log->last + 1;
	struct record record = { .end = log->end + len, .id = piece << 1 | is_stderr };
	int r;

	if (len == 0)
		return 0;
	if (len > EXEC_LOG_APPEND_MAX)
		return -EMSGSIZE;
	if (log->fd < 0)
		return -EBADF;
	r = write_bytes(log, bytes, len);
	if (r == 0)
		r = pwrite_all(log->fd, &record, sizeof(record), record_at(piece));
	if (r < 0)
		return r;
	log->end += len;
	log->last = piece;
	log->is_stderr = is_stderr;
	if (log->first == 0)
		log->first = 1;
	if (log->last - log->first >= EXEC_LOG_PIECES)
		log->first = log->last - EXEC_LOG_PIECES + 1;
	return 0;
}

static int read_record(const struct exec_log *log, uint64_t piece, struct record *ret_record)
{
	int r = pread_all(log->fd, ret_record, sizeof(*ret_record), record_at(piece));

	if (r < 0)
		return r;
	return ret_record->id >> 1 == piece ? 0 : -EIO;
}

uint64_t exec_log_base(const struct exec_log *log)
{
	uint64_t base = log->end > READABLE ? log->end - READABLE : 0;
	struct record oldest;

	/* Where the oldest piece begins is not known any more: only what is behind it counts. */
	if (log->first > 1 && read_record(log, log->first, &oldest) == 0 && oldest.end > base)
		base = oldest.end;
	return base;
}

/* The first piece that ends behind the offset. */
static int find_piece(const struct exec_log *log, uint64_t offset, struct record *ret_record)
{
	uint64_t low = log->first;
	uint64_t high = log->last;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int r = read_record(log, middle, ret_record);

		if (r < 0)
			return r;
		if (ret_record->end > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return read_record(log, low, ret_record);
}

ssize_t exec_log_read(const struct exec_log *log, uint64_t offset, void *to, size_t max,
		      bool *ret_is_stderr)
{
	struct record record;
	size_t at = (size_t)(offset % EXEC_LOG_RING);
	int r;

	if (offset >= log->end)
		return 0;
	if (offset < exec_log_base(log))
		return -ERANGE;
	r = find_piece(log, offset, &record);
	if (r < 0)
		return r;
	if (max > record.end - offset)
		max = (size_t)(record.end - offset);
	if (max > EXEC_LOG_RING - at)
		max = EXEC_LOG_RING - at;
	r = pread_all(log->fd, to, max, RECORDS_SIZE + (off_t)at);
	if (r < 0)
		return r;
	*ret_is_stderr = record.id & 1;
	return (ssize_t)max;
}
