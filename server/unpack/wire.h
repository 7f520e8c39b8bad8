/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the server and banger-unpack: packets of a fixed form on a SOCK_SEQPACKET pair, which is
 * the program's descriptor 3. The program's only argument says which of two conversations it is.
 *
 * UNPACK_LAYERS: the server sends UNPACK_LAYER with one descriptor (SCM_RIGHTS) for each layer,
 * oldest first, then UNPACK_GO; the program answers with reports, the last of which is UNPACK_DONE
 * or UNPACK_FAILED. The tar stream is its standard output.
 *
 * UNPACK_FILES: the server sends jobs, each with a descriptor; the program answers each with
 * pieces, the last of which is UNPACK_END or UNPACK_REFUSED, and waits for the next job.
 */
#pragma once

#include <stdint.h>

enum { UNPACK_WIRE_FD = 3, UNPACK_PIECE_MAX = 64 * 1024 };

#define UNPACK_LAYERS "layers"
#define UNPACK_FILES  "files"

enum unpack_request_kind { UNPACK_LAYER = 1, UNPACK_GO };

struct unpack_request {
	uint32_t kind;
	uint32_t ratio_max; /* with UNPACK_GO, as the next two: limits of struct unpack */
	uint64_t bytes_max;
	uint64_t ratio_from;
};

enum unpack_report_kind {
	UNPACK_SCANS = 1,
	UNPACK_SCANNED, /* the tar stream comes next: somebody must read it */
	UNPACK_WRITES,
	UNPACK_DONE,
	UNPACK_FAILED,
};

struct unpack_report {
	uint32_t kind;
	uint32_t code; /* with UNPACK_FAILED: enum error_code */
	uint64_t done; /* compressed bytes, both passes together */
	uint64_t total;
	uint64_t newest; /* with UNPACK_SCANNED: seconds since 1970; no file is younger */
	char message[496];
};

enum unpack_job_kind {
	UNPACK_PACKAGE = 1, /* the files of a Debian package: files_package() */
	UNPACK_PLAIN,       /* what a file holds, decompressed: files_plain() */
	UNPACK_LIST,        /* where the members of a tar archive lie: members_list() */
};

enum { UNPACK_LISTED_NAME_MAX = 256, UNPACK_LISTED_LINK_MAX = 128 };

/* What follows an UNPACK_MEMBER that answers UNPACK_LIST; the texts are ended by a NUL. */
struct unpack_listed {
	uint64_t at; /* of its content, in the archive */
	uint64_t size;
	char name[UNPACK_LISTED_NAME_MAX];
	char link[UNPACK_LISTED_LINK_MAX]; /* a symbolic link's target; "": a file */
};

struct unpack_job {
	uint32_t kind;
	uint32_t unused;
	uint64_t at; /* with UNPACK_PLAIN, as the next two: struct files_range */
	uint64_t len;
	uint64_t out_len;
};

enum unpack_piece_kind {
	UNPACK_MEMBER =
		1,      /* a file begins: its name, not ended by a NUL; or struct unpack_listed */
	UNPACK_BYTES,   /* more of its content */
	UNPACK_END,     /* of the job */
	UNPACK_REFUSED, /* of the job: the reason in words */
};

/* Followed by at most UNPACK_PIECE_MAX bytes. */
struct unpack_piece {
	uint32_t kind;
	uint32_t code; /* with UNPACK_REFUSED: enum error_code */
};
