/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/upstream.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/base/hex.h"

enum { LINE_MAX_BYTES = 4096, CHUNK_DIGITS_MAX = 15, TRAILER_MAX = 64 };

void upstream_init(struct upstream *u, bool head_only, bool may_switch)
{
	*u = (struct upstream){ .head_only = head_only, .may_switch = may_switch };
	buf_init(&u->bytes, UPSTREAM_HEAD_MAX + 1);
}

void upstream_done(struct upstream *u)
{
	buf_done(&u->bytes);
}

static int bad(struct error *err, const char *what)
{
	return error_set(err, ERR_GUEST, "the server in the guest does not speak HTTP: %s", what);
}

/* --- fields --- */

const char *upstream_field(const struct upstream *u, const char *name)
{
	for (size_t i = 0; i < u->n_fields; i++)
		if (strcasecmp(u->fields[i].name, name) == 0)
			return u->fields[i].value;
	return NULL;
}

bool upstream_list_has(const char *list, const char *token)
{
	size_t len = strlen(token);

	while (list && *list) {
		size_t n;

		list += strspn(list, " \t,");
		n = strcspn(list, " \t,;");
		if (n == len && strncasecmp(list, token, len) == 0)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

bool upstream_hop_by_hop(const char *name, const char *connection)
{
	static const char *const always[] = { "Connection",
					      "Keep-Alive",
					      "Proxy-Authenticate",
					      "Proxy-Authorization",
					      "Proxy-Authentication-Info",
					      "Proxy-Connection",
					      "TE",
					      "Trailer",
					      "Transfer-Encoding",
					      "Upgrade" };

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (strcasecmp(name, always[i]) == 0)
			return true;
	return upstream_list_has(connection, name);
}

/* --- the head --- */

static bool is_token(const char *s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= 'a' && *s <= 'z') || strchr(others, *s)))
			return false;
	return true;
}

static bool is_value(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static char *trim(char *s)
{
	size_t n;

	for (char *p = s; *p; p++)
		if (*p == '\t')
			*p = ' ';
	s += strspn(s, " ");
	n = strlen(s);
	while (n > 0 && s[n - 1] == ' ')
		s[--n] = '\0';
	return s;
}

static int read_status(struct upstream *u, const char *line, struct error *err)
{
	if (strncmp(line, "HTTP/1.", 7) != 0 || line[7] < '0' || line[7] > '9' || line[8] != ' ')
		return bad(err, "no status line");
	line += 9;
	if (strspn(line, "0123456789") != 3 || line[0] < '1' || line[0] > '5' ||
	    (line[3] != '\0' && line[3] != ' '))
		return bad(err, "no status code");
	u->status = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	return 0;
}

static int add_field(struct upstream *u, char *line, struct error *err)
{
	char *colon = strchr(line, ':');

	if (!colon)
		return bad(err, "a header line without a colon");
	if (u->n_fields == UPSTREAM_FIELDS_MAX)
		return error_set(err, ERR_GUEST, "the guest's reply has more than %d header fields",
				 UPSTREAM_FIELDS_MAX);
	*colon = '\0';
	u->fields[u->n_fields].name = line;
	u->fields[u->n_fields].value = trim(colon + 1);
	if (!is_token(line) || !is_value(u->fields[u->n_fields].value))
		return bad(err, "a header field with characters that may not stand there");
	u->n_fields++;
	return 0;
}

static int read_length(struct upstream *u, const char *text, struct error *err)
{
	uint64_t n = 0;

	if (!*text)
		return bad(err, "an empty Content-Length");
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return bad(err, "a Content-Length that is no number");
	}
	if (u->has_length && n != u->length)
		return bad(err, "two lengths");
	u->has_length = true;
	u->length = n;
	return 0;
}

/* What follows the head: RFC 9112 section 6.3. */
static int read_framing(struct upstream *u, struct error *err)
{
	const char *coding = NULL;

	for (size_t i = 0; i < u->n_fields; i++) {
		const struct upstream_field *f = &u->fields[i];

		if (strcasecmp(f->name, "Transfer-Encoding") == 0) {
			if (coding || strcasecmp(f->value, "chunked") != 0)
				return bad(err, "a transfer encoding other than chunked");
			coding = f->value;
		} else if (strcasecmp(f->name, "Content-Length") == 0) {
			int r = read_length(u, f->value, err);

			if (r < 0)
				return r;
		}
	}
	if (coding && u->has_length)
		return bad(err, "both a length and a transfer encoding");
	u->left = u->length;
	if (u->status == 101)
		u->state = UPSTREAM_SWITCHED;
	else if (u->head_only || u->status == 204 || u->status == 304)
		u->state = UPSTREAM_OVER;
	else if (coding)
		u->state = UPSTREAM_IN_CHUNK_SIZE;
	else if (u->has_length)
		u->state = u->left > 0 ? UPSTREAM_IN_LENGTH : UPSTREAM_OVER;
	else
		u->state = UPSTREAM_UNTIL_CLOSE;
	return 0;
}

/* `bytes` holds whole lines up to the empty one, NUL-terminated. */
static int read_head(struct upstream *u, struct error *err)
{
	char *line = (char *)buf_bytes(&u->bytes);
	bool first = true;

	u->n_fields = 0;
	u->has_length = false;
	u->length = 0;
	while (line) {
		char *end = strchr(line, '\n');
		int r = 0;

		if (end) {
			*end = '\0';
			if (end > line && end[-1] == '\r')
				end[-1] = '\0';
		}
		if (first)
			r = read_status(u, line, err);
		else if (*line == ' ' || *line == '\t')
			return bad(err, "a folded header line");
		else if (*line)
			r = add_field(u, line, err);
		if (r < 0)
			return r;
		first = false;
		line = end ? end + 1 : NULL;
	}
	if (u->status >= 200 || u->status == 101)
		return read_framing(u, err);
	return 0;
}

static bool head_complete(const struct buf *b)
{
	const uint8_t *p = buf_bytes(b);
	size_t n = buf_len(b);

	return (n >= 2 && p[n - 1] == '\n' && p[n - 2] == '\n') ||
	       (n >= 3 && p[n - 1] == '\n' && p[n - 2] == '\r' && p[n - 3] == '\n');
}

/* Up to the empty line; 1 when the head has been read, 0 when more is needed. */
static int take_head(struct upstream *u, const uint8_t **bytes, size_t *len, struct error *err)
{
	while (*len > 0) {
		uint8_t c = **bytes;
		int r;

		if (c == '\0')
			return bad(err, "a NUL byte in its head");
		if (buf_len(&u->bytes) >= UPSTREAM_HEAD_MAX)
			return error_set(err, ERR_GUEST,
					 "the guest's reply has more than %d bytes of header",
					 UPSTREAM_HEAD_MAX);
		r = buf_append(&u->bytes, &c, 1);
		if (r < 0)
			return error_errno(err, r, "reply of the guest");
		(*bytes)++;
		(*len)--;
		if (c != '\n' || !head_complete(&u->bytes))
			continue;
		r = buf_append(&u->bytes, "", 1);
		if (r == 0)
			r = read_head(u, err);
		else
			r = error_errno(err, r, "reply of the guest");
		if (r < 0)
			return r;
		if (u->state != UPSTREAM_IN_HEAD)
			return 1;
		/* An interim reply (RFC 9110 section 15.2). */
		if (++u->interim > UPSTREAM_INTERIM_MAX)
			return bad(err, "too many interim replies");
		u->n_fields = 0;
		buf_consume(&u->bytes, buf_len(&u->bytes));
	}
	return 0;
}

/* --- chunks --- */

/* A line of the framing; 1 when it is there, NUL-terminated in `bytes`. */
static int take_line(struct upstream *u, const uint8_t **bytes, size_t *len, struct error *err)
{
	while (*len > 0) {
		uint8_t c = **bytes;

		(*bytes)++;
		(*len)--;
		if (c == '\n') {
			size_t n = buf_len(&u->bytes);

			if (n > 0 && buf_bytes(&u->bytes)[n - 1] == '\r')
				buf_bytes(&u->bytes)[n - 1] = '\0';
			return buf_append(&u->bytes, "", 1) < 0 ? bad(err, "a long line") : 1;
		}
		if (buf_len(&u->bytes) >= LINE_MAX_BYTES || buf_append(&u->bytes, &c, 1) < 0)
			return bad(err, "a long line between chunks");
	}
	return 0;
}

static int read_chunk_size(struct upstream *u, struct error *err)
{
	const char *p = (const char *)buf_bytes(&u->bytes);
	size_t digits = 0;

	u->left = 0;
	for (; hex_digit(*p) >= 0; p++, digits++) {
		if (digits == CHUNK_DIGITS_MAX)
			return bad(err, "a chunk without end");
		u->left = u->left * 16 + (uint64_t)hex_digit(*p);
	}
	p += strspn(p, " \t");
	if (digits == 0 || (*p && *p != ';'))
		return bad(err, "a chunk without a size");
	buf_consume(&u->bytes, buf_len(&u->bytes));
	u->interim = 0;
	u->state = u->left > 0 ? UPSTREAM_IN_CHUNK : UPSTREAM_IN_TRAILER;
	return 0;
}

/* One line of the framing between the pieces of the body; 0 when more is needed, 1 to go on. */
static int take_framing(struct upstream *u, const uint8_t **bytes, size_t *len, struct error *err)
{
	int r = take_line(u, bytes, len, err);
	bool empty;

	if (r <= 0)
		return r;
	empty = *buf_bytes(&u->bytes) == '\0';
	if (u->state == UPSTREAM_IN_CHUNK_SIZE) {
		r = read_chunk_size(u, err);
		return r < 0 ? r : 1;
	}
	buf_consume(&u->bytes, buf_len(&u->bytes));
	if (u->state == UPSTREAM_IN_CHUNK_END) {
		u->state = UPSTREAM_IN_CHUNK_SIZE;
		return empty ? 1 : bad(err, "a chunk that is longer than it says");
	}
	if (empty)
		u->state = UPSTREAM_OVER;
	else if (++u->interim > TRAILER_MAX)
		return bad(err, "trailers without end");
	return 1;
}

/* --- all of it --- */

static void take_piece(struct upstream *u, const uint8_t **bytes, size_t *len,
		       const uint8_t **ret_piece, size_t *ret_len)
{
	bool bounded = u->state == UPSTREAM_IN_LENGTH || u->state == UPSTREAM_IN_CHUNK;
	size_t n = bounded && *len > u->left ? (size_t)u->left : *len;

	*ret_piece = *bytes;
	*ret_len = n;
	*bytes += n;
	*len -= n;
	if (!bounded)
		return;
	u->left -= n;
	if (u->left == 0)
		u->state = u->state == UPSTREAM_IN_LENGTH ? UPSTREAM_OVER : UPSTREAM_IN_CHUNK_END;
}

int upstream_next(struct upstream *u, const uint8_t **bytes, size_t *len, const uint8_t **ret_piece,
		  size_t *ret_len, struct error *err)
{
	int r;

	if (u->state == UPSTREAM_IN_HEAD) {
		r = take_head(u, bytes, len, err);
		if (r > 0 && u->state == UPSTREAM_SWITCHED && !u->may_switch)
			return bad(err, "it switches protocols unasked");
		u->shown = r > 0;
		return r > 0 ? (int)UPSTREAM_HEAD : r < 0 ? r : (int)UPSTREAM_MORE;
	}
	if (u->shown) {
		u->shown = false;
		u->n_fields = 0;
		buf_consume(&u->bytes, buf_len(&u->bytes));
	}
	while (u->state == UPSTREAM_IN_CHUNK_SIZE || u->state == UPSTREAM_IN_CHUNK_END ||
	       u->state == UPSTREAM_IN_TRAILER) {
		r = take_framing(u, bytes, len, err);
		if (r <= 0)
			return r < 0 ? r : (int)UPSTREAM_MORE;
	}
	if (u->state == UPSTREAM_OVER)
		return UPSTREAM_END;
	if (*len == 0)
		return UPSTREAM_MORE;
	take_piece(u, bytes, len, ret_piece, ret_len);
	return UPSTREAM_BODY;
}

bool upstream_closed(const struct upstream *u)
{
	return u->state == UPSTREAM_UNTIL_CLOSE || u->state == UPSTREAM_OVER;
}
