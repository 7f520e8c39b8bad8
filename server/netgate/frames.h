/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which Ethernet frames a guest on the user-mode network may send, and the stream of them.
 *
 * passt connects wherever a packet is addressed to, 127.0.0.1 included, so what must not be reached
 * is taken out before passt sees it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest frame that is accepted; each is preceded by its length as 32 bits in network order. */
enum { FRAME_MAX = 65550, FRAME_HEADER = 4 };

/*
 * True for ARP, and for IPv4 to any address but those of this host and link (0.0.0.0/8,
 * 127.0.0.0/8, 169.254.0.0/16: the last is where clouds serve their credentials).
 */
bool frame_may_pass(const uint8_t *frame, size_t len);

/* Where in a stream of frames its counting is. */
struct frame_tally {
	uint64_t bytes;
	uint64_t frames;
	uint32_t left; /* of the frame at hand */
	uint8_t head[FRAME_HEADER];
	unsigned int head_len;
};

/* Counts the frames that begin in the next `len` bytes of the stream, however it is cut. */
void frames_count(struct frame_tally *tally, const uint8_t *data, size_t len);

/*
 * Moves the frames that may pass to the front of `data` (`len` bytes of stream, starting at a
 * frame). *ret_keep: bytes at the front to send on. *ret_taken: bytes of the stream that were dealt
 * with; an incomplete frame stays behind them. False when a length is out of range: the stream can
 * go no further.
 */
bool frames_filter(uint8_t *data, size_t len, size_t *ret_keep, size_t *ret_taken);
