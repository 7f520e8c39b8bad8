/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines that open a guest link, found in a stream that may carry anything before them. Nothing
 * here allocates; a line longer than LINK_LINE_MAX is skipped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"
#include "lib/link/protocol.h"

struct link_scan {
	size_t len;
	bool skip; /* the line at hand is too long */
	char line[LINK_LINE_MAX];
};

/* Ready for the first byte of a stream. */
void link_scan_init(struct link_scan *scan);

/*
 * Takes bytes up to and including the end of the next line that begins with LINK_HELLO. Returns
 * how many were taken; *ret_line is that line without its end, valid until the next call, or NULL
 * when there is none yet (all bytes were taken then).
 */
size_t link_scan_feed(struct link_scan *scan, const void *bytes, size_t len, const char **ret_line);

/* A nonce of LINK_NONCE_LEN random hex digits and a NUL. Returns 0 or a negative errno. */
int link_nonce_new(char nonce[LINK_NONCE_LEN + 1]) MUST_USE;

/* Agent: the nonce in a line of the host, NUL-terminated, or NULL when it is no such line. */
const char *link_hello_nonce(const char *line);

/* Host: the JSON text in the agent's answer to `nonce`, or NULL when it is another line. */
const char *link_hello_answer(const char *line, const char *nonce);
