/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of banger-unpack, the confined program that reads archives and compressed files
 * for it: one process for one operation. What it says is looked at as if it had been taken over.
 */
#pragma once

#include "lib/proc/proc.h"
#include "server/image/image.h"
#include "server/unpack/wire.h"

struct unpacker {
	struct proc proc;
	int wire;
	struct op *op; /* whose cancellation ends a wait */
	char *packet;  /* the piece at hand */
};

#define UNPACKER_INIT ((struct unpacker){ .proc = PROC_INIT, .wire = -1 })

/* `mode`: UNPACK_LAYERS or UNPACK_FILES (server/unpack/wire.h). `out` becomes its standard output;
 * -1: it needs none. */
int unpacker_start(const struct image_paths *paths, const char *mode, int out, struct op *op,
		   struct unpacker *ret_unpacker, struct error *err) MUST_USE;
/* Kills it. */
void unpacker_done(struct unpacker *u);

/* One packet, with a descriptor (-1: without), which stays the caller's. */
int unpacker_send(const struct unpacker *u, const void *packet, size_t size, int fd,
		  struct error *err) MUST_USE;
/* Waits for a packet of at most `max` bytes: 1 and its length, or 0 when there will be none any
 * more. */
int unpacker_receive(const struct unpacker *u, void *packet, size_t max, size_t *ret_len,
		     struct error *err) MUST_USE;

/* A piece of the answer to a job of UNPACK_FILES: UNPACK_MEMBER, UNPACK_BYTES or UNPACK_END. The
 * bytes are borrowed until the next call. A refusal is an error. */
struct unpacker_piece {
	enum unpack_piece_kind kind;
	const char *bytes;
	size_t len;
};
int unpacker_piece(const struct unpacker *u, struct unpacker_piece *ret_piece,
		   struct error *err) MUST_USE;

/* Sets `err` to what it has refused, in its words; returns the negative errno. */
int unpacker_refused(uint32_t code, const char *text, size_t len, struct error *err);
/* The same when it has ended before it said anything. */
int unpacker_stopped(struct error *err);
/* The same when it says what is not its turn. */
int unpacker_confused(struct error *err);
