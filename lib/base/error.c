/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int sys;
} codes[] = {
	[ERR_NONE] = { "none", 0 },
	[ERR_INTERNAL] = { "internal", EIO },
	[ERR_BAD_REQUEST] = { "bad_request", EBADMSG },
	[ERR_INVALID] = { "invalid", EINVAL },
	[ERR_UNAUTHENTICATED] = { "unauthenticated", EACCES },
	[ERR_FORBIDDEN] = { "forbidden", EPERM },
	[ERR_NOT_FOUND] = { "not_found", ENOENT },
	[ERR_METHOD] = { "method_not_allowed", EOPNOTSUPP },
	[ERR_EXISTS] = { "exists", EEXIST },
	[ERR_KEY_REUSED] = { "idempotency_conflict", EEXIST },
	[ERR_STATE] = { "wrong_state", ESTALE },
	[ERR_BUSY] = { "busy", EBUSY },
	[ERR_PRECONDITION] = { "precondition_failed", ESTALE },
	[ERR_RANGE] = { "range_not_satisfiable", ERANGE },
	[ERR_TOO_LARGE] = { "too_large", EFBIG },
	[ERR_MEDIA_TYPE] = { "unsupported_media_type", EPROTONOSUPPORT },
	[ERR_NOT_ACCEPTABLE] = { "not_acceptable", EPROTONOSUPPORT },
	[ERR_RATE] = { "rate_limited", EAGAIN },
	[ERR_NO_ROOM] = { "no_room", ENOSPC },
	[ERR_UNSUPPORTED] = { "unsupported", ENOTSUP },
	[ERR_UNAVAILABLE] = { "unavailable", ENOTCONN },
	[ERR_UPSTREAM] = { "upstream_failed", EREMOTEIO },
	[ERR_GUEST] = { "guest_failed", EREMOTEIO },
	[ERR_TIMEOUT] = { "timeout", ETIMEDOUT },
	[ERR_CANCELLED] = { "cancelled", ECANCELED },
};
static_assert(ARRAY_SIZE(codes) == ERROR_CODE_MAX_, "every error code has a row");

static enum error_code code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return ERR_NO_ROOM;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELLED;
	default:
		return ERR_INTERNAL;
	}
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	va_list ap;

	assert(code > ERR_NONE && code < ERROR_CODE_MAX_);
	err->code = code;
	err->sys = codes[code].sys;
	err->allowed[0] = '\0';
	err->remedy = NULL;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return -err->sys;
}

int error_errno(struct error *err, int r, const char *fmt, ...)
{
	char what[400];
	const char *text;
	va_list ap;

	assert(r < 0);
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	err->sys = -r;
	err->code = code_of_errno(-r);
	err->allowed[0] = '\0';
	err->remedy = NULL;
	text = strerrordesc_np(-r);
	(void)snprintf(err->msg, sizeof(err->msg), "%s: %s", what, text ? text : "unknown error");
	return r;
}

void error_allow(struct error *err, const char *word)
{
	size_t have = strlen(err->allowed);

	if (have + strlen(word) + 2 <= sizeof(err->allowed))
		(void)snprintf(err->allowed + have, sizeof(err->allowed) - have, "%s ", word);
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	char inner[sizeof(err->msg)];
	va_list ap;
	int n;

	memcpy(inner, err->msg, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	/* Cutting the tail off is fine. */
	if (n >= 0 && (size_t)n < sizeof(err->msg) &&
	    snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", inner) < 0)
		err->msg[n] = '\0';
	return error_to_errno(err);
}

int error_recode(struct error *err, enum error_code code)
{
	assert(code > ERR_NONE && code < ERROR_CODE_MAX_);
	err->code = code;
	err->sys = codes[code].sys;
	return error_to_errno(err);
}

int error_advise(struct error *err, const char *remedy)
{
	if (!err->remedy)
		err->remedy = remedy;
	return error_to_errno(err);
}

int error_to_errno(const struct error *err)
{
	return err->sys > 0 ? -err->sys : -EIO;
}

const char *error_code_name(enum error_code code)
{
	assert(code >= 0 && code < ERROR_CODE_MAX_);
	return codes[code].name;
}
