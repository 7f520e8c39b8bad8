/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors above the system call layer.
 *
 * A function that can fail returns 0 (or a count) or a negative errno, and fills the caller's
 * `struct error`. The struct lives on the caller's stack, is never NULL, is untouched on success,
 * and is set once, where the failure happens, with error_set() or error_errno(); the layers above
 * add context in front with error_wrap(). Nothing here allocates, so reporting an error can't fail.
 * Libraries return errors; only main(), the HTTP layer and operations log them.
 */
#pragma once

#include "lib/base/macro.h"

enum error_code {
	ERR_NONE,
	ERR_INTERNAL,        /* our own fault or an unexpected failure of the host */
	ERR_BAD_REQUEST,     /* the request can't be understood (syntax) */
	ERR_INVALID,         /* understood, but a value is not acceptable */
	ERR_UNAUTHENTICATED, /* no or wrong credentials */
	ERR_FORBIDDEN,       /* known caller, not allowed */
	ERR_NOT_FOUND,
	ERR_METHOD,         /* the resource exists, the method does not */
	ERR_EXISTS,         /* a name is taken */
	ERR_KEY_REUSED,     /* an Idempotency-Key came with another request before */
	ERR_STATE,          /* not possible in the present state */
	ERR_BUSY,           /* something else holds it; later is fine */
	ERR_PRECONDITION,   /* If-Match and friends */
	ERR_RANGE,          /* no part of what is there */
	ERR_TOO_LARGE,      /* body or header beyond the limit */
	ERR_MEDIA_TYPE,     /* Content-Type not understood */
	ERR_NOT_ACCEPTABLE, /* Accept can't be met */
	ERR_RATE,           /* too many requests */
	ERR_NO_ROOM,        /* memory, disk or descriptors of the host */
	ERR_UNSUPPORTED,    /* this build, host or VMM can't */
	ERR_UNAVAILABLE,    /* a part that is needed is not there yet */
	ERR_UPSTREAM,       /* a registry or other remote side failed */
	ERR_GUEST,          /* the guest or its agent failed */
	ERR_TIMEOUT,
	ERR_CANCELLED,
	ERROR_CODE_MAX_,
};

struct error {
	enum error_code code;
	int sys;            /* positive errno where there is one, else 0 */
	const char *remedy; /* what to do next, a sentence that is never freed; NULL: as for all
			       errors of this code */
	char msg[512];      /* complete sentence without full stop, fit to be shown to a user */
	/* Words that would do in place of the one that was refused, each followed by a blank; ""
	 * where that is not the matter. See error_allow(). */
	char allowed[96];
};

#define ERROR_INIT ((struct error){ 0 })

/* Sets the error; returns the negative errno that fits `code`. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* After error_set(): one more word that would have done. What does not fit is left out. */
void error_allow(struct error *err, const char *word);

/*
 * Sets the error from a negative errno `r`: "<formatted>: <strerror>". The code follows from the
 * errno (ENOSPC and friends are ERR_NO_ROOM, ENOENT is ERR_INTERNAL unless the caller says
 * otherwise). Returns r.
 */
int error_errno(struct error *err, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts context in front: "<formatted>: <message so far>". Returns the negative errno of the error.
 */
int error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same message as an error of another kind, for who knows whose fault it is. Returns the
 * negative errno of the error. */
int error_recode(struct error *err, enum error_code code);

/* Says what to do next, unless somebody who knew more has said it already. `remedy` must live as
 * long as the program. Returns the negative errno of the error. */
int error_advise(struct error *err, const char *remedy);

/* The negative errno that stands for the error. */
int error_to_errno(const struct error *err);

/* The code's stable lower-case name, as in problem documents: "not_found". */
const char *error_code_name(enum error_code code);
