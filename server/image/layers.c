/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/layers.h"

#include <string.h>

#include "lib/base/cleanup.h"
#include "server/image/squashfs.h"
#include "server/image/unpacker.h"
#include "server/unpack/wire.h"

#define RATIO_FROM (16ULL << 30)
#define RATIO_MAX  200

static int send_layers(const struct unpacker *u, const int *layers, size_t n, struct error *err)
{
	const struct unpack_request layer = { .kind = UNPACK_LAYER };
	const struct unpack_request go = { .kind = UNPACK_GO,
					   .bytes_max = LAYERS_BYTES_MAX,
					   .ratio_from = RATIO_FROM,
					   .ratio_max = RATIO_MAX };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = unpacker_send(u, &layer, sizeof(layer), layers[i], err);
	return r < 0 ? r : unpacker_send(u, &go, sizeof(go), -1, err);
}

struct stream {
	struct squashfs sq;
	const struct staging *staging;
	struct op *op;
};

static void stream_done(struct stream *s)
{
	squashfs_abandon(&s->sq);
}

/* All times are known by now: with the newest as the squashfs's own each file keeps its own. */
static int begin_squashfs(struct stream *s, uint64_t newest, struct error *err)
{
	op_stage(s->op, "squashfs");
	return squashfs_run(&s->sq, s->staging,
			    (int64_t)(newest < UINT32_MAX ? newest : UINT32_MAX), err);
}

static int follow(const struct unpacker *u, struct stream *s, struct error *err)
{
	bool scanned = false;

	for (;;) {
		struct unpack_report report;
		size_t len = 0;
		int r = unpacker_receive(u, &report, sizeof(report), &len, err);

		if (r < 0)
			return r;
		if (r == 0 || len != sizeof(report))
			return unpacker_stopped(err);
		if (report.kind == UNPACK_FAILED)
			return unpacker_refused(report.code, report.message, sizeof(report.message),
						err);
		if (report.kind == UNPACK_SCANNED && !scanned) {
			scanned = true;
			r = begin_squashfs(s, report.newest, err);
			if (r < 0)
				return r;
		} else if (report.kind == UNPACK_DONE && scanned) {
			return 0;
		} else if (report.kind == (scanned ? UNPACK_WRITES : UNPACK_SCANS)) {
			op_progress(s->op, report.done, report.total, "bytes");
		} else {
			return unpacker_confused(err);
		}
	}
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
		       const int *layers, size_t n_layers, struct op *op, struct error *err)
{
	struct stream s CLEANUP(
		stream_done) = { .sq = SQUASHFS_INIT, .staging = staging, .op = op };
	struct unpacker u CLEANUP(unpacker_done) = UNPACKER_INIT;
	autoclose int out = -1;
	int r;

	op_stage(op, "scan");
	r = squashfs_open(&s.sq, op, err);
	if (r < 0)
		return r;
	out = squashfs_take_fd(&s.sq);
	r = unpacker_start(paths, UNPACK_LAYERS, out, op, &u, err);
	close_keep_errno(take_fd(&out));
	if (r == 0)
		r = send_layers(&u, layers, n_layers, err);
	if (r == 0)
		r = follow(&u, &s, err);
	return r < 0 ? explain(&s.sq, r, err) : squashfs_finish(&s.sq, err);
}
