/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the server and banger-unpack: packets of a fixed form on a SOCK_SEQPACKET pair, which is
 * the program's descriptor 3. The server sends UNPACK_LAYER with one descriptor (SCM_RIGHTS) for
 * each layer, oldest first, then UNPACK_GO; the program answers with reports, the last of which is
 * UNPACK_DONE or UNPACK_FAILED. The tar stream is its standard output.
 */
#pragma once

#include <stdint.h>

enum { UNPACK_WIRE_FD = 3 };

enum unpack_request_kind { UNPACK_LAYER = 1, UNPACK_GO };

struct unpack_request {
	uint32_t kind;
	uint32_t ratio_max; /* with UNPACK_GO, as the next two: limits of struct unpack */
	uint64_t bytes_max;
	uint64_t ratio_from;
};

enum unpack_report_kind { UNPACK_SCANS = 1, UNPACK_WRITES, UNPACK_DONE, UNPACK_FAILED };

struct unpack_report {
	uint32_t kind;
	uint32_t code; /* with UNPACK_FAILED: enum error_code */
	uint64_t done; /* compressed bytes, both passes together */
	uint64_t total;
	char message[504];
};
