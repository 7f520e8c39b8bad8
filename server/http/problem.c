/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/problem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"

enum { TEXT_LIMIT = 64 * 1024 };

static const struct problem_kind kinds[] = {
	[ERR_NONE] = { 500, "No error", "Report this as a bug.", "A failure without a reason." },
	[ERR_INTERNAL] = { 500, "Internal error",
			   "Look at the server's log for the operation's id, and run banger "
			   "doctor.",
			   "The server or its host failed in a way that the request did not "
			   "cause." },
	[ERR_BAD_REQUEST] = { 400, "Bad request",
			      "Correct the syntax of the request; /openapi.json describes it.",
			      "The request could not be understood: its target, headers or JSON "
			      "break the rules of their own grammar." },
	[ERR_INVALID] = { 422, "Value not acceptable",
			  "Correct the values named in errors; /openapi.json has their limits.",
			  "The request was understood, but holds a value that is not acceptable: "
			  "out "
			  "of range, of the wrong type, missing, or not known." },
	[ERR_UNAUTHENTICATED] = { 401, "Not authenticated",
				  "Send Authorization: Bearer with a token from banger token "
				  "create, "
				  "or use the unix socket.",
				  "The TCP port wants a bearer token (or a dashboard session) that "
				  "is "
				  "known, not expired and not revoked." },
	[ERR_FORBIDDEN] = { 403, "Forbidden",
			    "The detail says what was refused: a token's scope, or a host name or "
			    "page that is not the server's own.",
			    "The caller is known, but may not do this: the token's scope does not "
			    "reach, or the request came from a foreign page or host name." },
	[ERR_NOT_FOUND] = { 404, "Not found", "List the resources to see what there is.",
			    "Nothing has this name, id or path." },
	[ERR_METHOD] = { 405, "Method not allowed", "Use a method from the Allow header.",
			 "The resource exists, but not with this method." },
	[ERR_EXISTS] = { 409, "Exists already", "Choose another name, or delete the other one.",
			 "The name is taken." },
	[ERR_KEY_REUSED] = { 409, "Idempotency-Key used before",
			     "Send another key with another request; the same key repeats the same "
			     "request only.",
			     "A request that differed in method, path or body came with this "
			     "Idempotency-Key within the last 24 hours." },
	[ERR_STATE] = { 409, "Not possible in this state",
			"Look at its state; the detail says which one is needed.",
			"The resource is in a state in which this can't be done." },
	[ERR_BUSY] = { 409, "Busy", "Try again when the work under way has ended.",
		       "Something else holds the resource at the moment." },
	[ERR_PRECONDITION] = { 412, "Precondition failed",
			       "Read the resource again and repeat the change on its new version.",
			       "The resource is not in the version that If-Match names." },
	[ERR_RANGE] = { 416, "Range not satisfiable",
			"Ask for a range below the size that Content-Range gives.",
			"The range that was asked for begins behind the end of what is there." },
	[ERR_TOO_LARGE] = { 413, "Too large",
			    "Send at most what the detail names. Files of any size go by PUT "
			    "/vms/{vm}/files/{path}.",
			    "The body is larger than this operation accepts." },
	[ERR_MEDIA_TYPE] = { 415, "Media type not supported", "Send the body as application/json.",
			     "The Content-Type is not one that this operation reads." },
	[ERR_NOT_ACCEPTABLE] = { 406, "Not acceptable", "Ask for a type that is offered.",
				 "Accept excludes every type that this operation can reply with." },
	[ERR_RATE] = { 429, "Too many requests", "Wait as long as Retry-After says.",
		       "This client has sent more than its share." },
	[ERR_NO_ROOM] = { 507, "No room on the host",
			  "Free memory or disk, or ask for less; banger doctor shows what there "
			  "is.",
			  "The host lacks the memory, disk or descriptors that this needs." },
	[ERR_UNSUPPORTED] = { 501, "Not supported here", "See /doctor for what this host can do.",
			      "This host, build or VMM can't do it." },
	[ERR_UNAVAILABLE] = { 503, "Not available yet",
			      "Do what the detail says, or try again in a moment.",
			      "A part that is needed is not there yet or not there any more." },
	[ERR_UPSTREAM] = { 502, "Remote side failed",
			   "Check the name and the network, then try again.",
			   "A registry, mirror or other remote side failed." },
	[ERR_GUEST] = { 502, "Guest failed", "Look at the VM's logs.",
			"The guest or its agent failed or broke its protocol." },
	[ERR_TIMEOUT] = { 504, "Timed out", "Allow more time, or look at the VM's logs.",
			  "The work did not end within its time." },
	[ERR_CANCELLED] = { 409, "Cancelled", "Start it again if it is still wanted.",
			    "The work was cancelled before its end." },
};
static_assert(ARRAY_SIZE(kinds) == ERROR_CODE_MAX_, "every error code has a problem");

const struct problem_kind *problem_kind(enum error_code code)
{
	assert(code >= 0 && code < ERROR_CODE_MAX_);
	return &kinds[code];
}

enum error_code problem_code_parse(const char *name)
{
	for (unsigned int i = ERR_NONE + 1; i < ERROR_CODE_MAX_; i++)
		if (streq(error_code_name((enum error_code)i), name))
			return (enum error_code)i;
	return ERROR_CODE_MAX_;
}

json_t *problem_catalogue(void)
{
	json_t *list = json_array();

	for (unsigned int i = ERR_NONE + 1; i < ERROR_CODE_MAX_; i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:i, s:s, s:s, s:s}", "code",
					error_code_name((enum error_code)i), "status",
					kinds[i].status, "title", kinds[i].title, "remedy",
					kinds[i].remedy, "meaning", kinds[i].explain));
	return list;
}

/* A message may carry a guest's or client's bytes: what is not UTF-8 becomes "?". */
static json_t *safe_string(const char *text)
{
	char copy[sizeof(((struct error *)0)->msg)];
	json_t *s = json_string(text);
	size_t i;

	if (s)
		return s;
	for (i = 0; text[i] && i + 1 < sizeof(copy); i++)
		copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	copy[i] = '\0';
	return json_string(copy);
}

/*
 * A message may begin with the JSON pointer of the field that it is about, "/image: no image 'x'",
 * or with the name of a parameter of the query, "?path: name one": then that is an entry of errors,
 * as if validation had found it. What others said may begin so by chance.
 */
static json_t *error_of_message(const struct error *err)
{
	const char *msg = err->msg;
	size_t len = 1 + strspn(msg + (*msg != '\0'), "/_0123456789abcdefghijklmnopqrstuvwxyz");
	bool theirs =
		err->code == ERR_INTERNAL || err->code == ERR_UPSTREAM || err->code == ERR_GUEST;

	if (theirs || (msg[0] != '/' && msg[0] != '?') || strncmp(msg + len, ": ", 2) != 0)
		return NULL;
	if (msg[0] == '?')
		return json_pack("[{s:o, s:s, s:o}]", "detail", safe_string(msg + len + 2), "in",
				 "query", "parameter", json_stringn(msg + 1, len - 1));
	return json_pack("[{s:o, s:o}]", "pointer", json_stringn(msg, len), "detail",
			 safe_string(msg + len + 2));
}

static json_t *allowed_words(const struct error *err)
{
	json_t *list = json_array();

	for (const char *p = err->allowed; *p; p += strcspn(p, " ") + 1)
		(void)json_array_append_new(list, json_stringn(p, strcspn(p, " ")));
	return list;
}

json_t *problem_to_json(const struct error *err, const char *operation, json_t *errors, bool more)
{
	const struct problem_kind *kind = problem_kind(err->code);
	const char *code = error_code_name(err->code);
	char type[96];
	json_t *problem;

	(void)snprintf(type, sizeof(type), "/problems/%s", code);
	problem = json_pack("{s:s, s:s, s:i, s:o, s:s, s:s}", "type", type, "title", kind->title,
			    "status", kind->status, "detail", safe_string(err->msg), "code", code,
			    "remedy", err->remedy ? err->remedy : kind->remedy);
	if (!problem)
		return NULL;
	if (operation)
		(void)json_object_set_new(problem, "operation", json_string(operation));
	if (errors)
		(void)json_object_set(problem, "errors", errors);
	else
		(void)json_object_set_new(problem, "errors", error_of_message(err));
	if (err->allowed[0])
		(void)json_object_set_new(problem, "allowed", allowed_words(err));
	if (more)
		(void)json_object_set_new(problem, "truncated", json_true());
	return problem;
}

static const char *field(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* "parameter limit: ", "/vcpus: " or nothing. */
static int append_error(struct buf *b, const json_t *e)
{
	const char *pointer = field(e, "pointer");
	const char *parameter = field(e, "parameter");
	const char *where = parameter ? parameter : pointer;
	const char *remedy = field(e, "remedy");
	bool named = where && *where;

	return buf_printf(b, "  %s%s%s%s%s%s\n", named ? where : "", named ? ": " : "",
			  field(e, "detail"), remedy ? " (" : "", remedy ? remedy : "",
			  remedy ? ")" : "");
}

char *problem_to_text(const json_t *problem)
{
	const json_t *errors = json_object_get(problem, "errors");
	const char *operation = field(problem, "operation");
	struct buf b;
	size_t i;
	json_t *e;
	int r;

	buf_init(&b, TEXT_LIMIT);
	r = buf_printf(&b, "%s: %s\n", field(problem, "title"), field(problem, "detail"));
	json_array_foreach (errors, i, e)
		r = r < 0 ? r : append_error(&b, e);
	if (r == 0)
		r = buf_printf(&b, "%s\n", field(problem, "remedy"));
	if (r == 0 && operation)
		r = buf_printf(&b, "operation %s\n", operation);
	if (r == 0)
		r = buf_append(&b, "", 1);
	if (r < 0) {
		buf_done(&b);
		return NULL;
	}
	return (char *)b.data;
}

char *problem_page(enum error_code code)
{
	const struct problem_kind *kind = problem_kind(code);
	char *text = NULL;

	if (asprintf(&text, "%s (%s, status %d)\n\n%s\n\nWhat to do: %s\n", kind->title,
		     error_code_name(code), kind->status, kind->explain, kind->remedy) < 0)
		return NULL;
	return text;
}
