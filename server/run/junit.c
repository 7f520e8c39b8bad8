/* SPDX-License-Identifier: Apache-2.0 */
#include "server/run/junit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"

enum { BLOCK = 512, NAME_LEN = 100, PREFIX_AT = 345, PREFIX_LEN = 155, PATH_LEN = 1024 };

enum content { CONTENT_SKIP, CONTENT_REPORT, CONTENT_LONG_NAME, CONTENT_PAX };

struct junit {
	json_t *reports;
	unsigned char header[BLOCK];
	size_t n_header;
	enum content content;
	uint64_t left;    /* of the entry's content */
	uint64_t padding; /* behind it */
	struct buf kept;
	char name[PATH_LEN];
	char next_name[PATH_LEN]; /* told by an entry before; "" without */
	bool lost;                /* this is no tar archive that we understand */
};

struct junit *junit_new(json_t *reports)
{
	struct junit *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->reports = reports;
	buf_init(&j->kept, JUNIT_FILE_BYTES);
	return j;
}

void junit_free(struct junit *j)
{
	if (!j)
		return;
	buf_done(&j->kept);
	free(j);
}

/* --- a report --- */

struct counts {
	json_int_t tests, failures, errors, skipped;
	bool is_report;
	bool told; /* of the test at hand: it counts once, however much is said about it */
};

static bool is_tag(const char *p, const char *end, const char *name)
{
	size_t len = strlen(name);

	return (size_t)(end - p) > len && memcmp(p, name, len) == 0 &&
	       strchr(" \t\r\n/>", p[len]) != NULL;
}

static void count_outcome(struct counts *c, json_int_t *outcome)
{
	*outcome += !c->told;
	c->told = true;
}

static void count_tag(struct counts *c, const char *p, const char *end)
{
	if (is_tag(p, end, "testsuite") || is_tag(p, end, "testsuites"))
		c->is_report = true;
	if (is_tag(p, end, "testcase")) {
		c->tests++;
		c->told = false;
	} else if (is_tag(p, end, "failure")) {
		count_outcome(c, &c->failures);
	} else if (is_tag(p, end, "error")) {
		count_outcome(c, &c->errors);
	} else if (is_tag(p, end, "skipped")) {
		count_outcome(c, &c->skipped);
	}
}

/* Behind the end of what is not markup; the end of the text where it has none. */
static const char *behind(const char *p, const char *end, const char *mark)
{
	const char *found = memmem(p, (size_t)(end - p), mark, strlen(mark));

	return found ? found + strlen(mark) : end;
}

static void count_report(struct junit *j)
{
	const char *p = (const char *)buf_bytes(&j->kept);
	const char *end = p + buf_len(&j->kept);
	struct counts c = { .told = true };
	json_t *o;

	while (p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL) {
		p++;
		if (end - p >= 3 && memcmp(p, "!--", 3) == 0)
			p = behind(p, end, "-->");
		else if (end - p >= 8 && memcmp(p, "![CDATA[", 8) == 0)
			p = behind(p, end, "]]>");
		else
			count_tag(&c, p, end);
	}
	if (!c.is_report)
		return;
	o = json_pack("{s:s, s:I, s:I, s:I, s:I}", "path", j->name, "tests", c.tests, "failures",
		      c.failures, "errors", c.errors, "skipped", c.skipped);
	/* NULL where the name is no UTF-8. */
	if (o)
		(void)json_array_append_new(j->reports, o);
}

/* --- the archive --- */

static bool read_octal(const unsigned char *field, size_t len, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		n = n * 8 + (uint64_t)(field[i] - '0');
	*ret = n;
	return i == len || field[i] == '\0' || field[i] == ' ';
}

/* "27 path=some/name\n" among other records. */
static void read_pax(struct junit *j)
{
	const char *p = (const char *)buf_bytes(&j->kept);
	const char *end = p + buf_len(&j->kept);

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		const char *key = eol ? memchr(p, ' ', (size_t)(eol - p)) : NULL;

		if (!key)
			return;
		if (eol - key > 6 && memcmp(key, " path=", 6) == 0)
			(void)snprintf(j->next_name, sizeof(j->next_name), "%.*s",
				       (int)(eol - key - 6), key + 6);
		p = eol + 1;
	}
}

static void end_content(struct junit *j)
{
	if (j->content == CONTENT_REPORT)
		count_report(j);
	else if (j->content == CONTENT_PAX)
		read_pax(j);
	else if (j->content == CONTENT_LONG_NAME)
		(void)snprintf(j->next_name, sizeof(j->next_name), "%.*s", (int)buf_len(&j->kept),
			       (const char *)buf_bytes(&j->kept));
	buf_done(&j->kept);
	buf_init(&j->kept, JUNIT_FILE_BYTES);
	j->content = CONTENT_SKIP;
}

static void take_name(struct junit *j)
{
	const char *h = (const char *)j->header;

	if (j->next_name[0])
		(void)snprintf(j->name, sizeof(j->name), "%s", j->next_name);
	else
		(void)snprintf(j->name, sizeof(j->name), "%.*s%s%.*s", PREFIX_LEN, h + PREFIX_AT,
			       h[PREFIX_AT] ? "/" : "", NAME_LEN, h);
	j->next_name[0] = '\0';
}

static enum content content_of(struct junit *j, char type)
{
	size_t len;

	if (type == 'L')
		return j->left < PATH_LEN ? CONTENT_LONG_NAME : CONTENT_SKIP;
	if (type == 'x')
		return j->left <= JUNIT_FILE_BYTES ? CONTENT_PAX : CONTENT_SKIP;
	if (type == 'g')
		return CONTENT_SKIP;
	take_name(j);
	len = strlen(j->name);
	if ((type != '0' && type != '\0') || len < 4 || strcmp(j->name + len - 4, ".xml") != 0)
		return CONTENT_SKIP;
	return j->left <= JUNIT_FILE_BYTES && json_array_size(j->reports) < JUNIT_FILES_MAX
		       ? CONTENT_REPORT
		       : CONTENT_SKIP;
}

static void begin_entry(struct junit *j)
{
	j->n_header = 0;
	if (j->header[0] == '\0')
		return;
	if (memcmp(j->header + 257, "ustar", 5) != 0 ||
	    !read_octal(j->header + 124, 12, &j->left)) {
		j->lost = true;
		return;
	}
	j->padding = (BLOCK - j->left % BLOCK) % BLOCK;
	j->content = content_of(j, (char)j->header[156]);
	if (j->left == 0)
		end_content(j);
}

static size_t take_content(struct junit *j, const unsigned char *p, size_t len)
{
	size_t n = len < j->left ? len : (size_t)j->left;

	if (j->content != CONTENT_SKIP && buf_append(&j->kept, p, n) < 0)
		j->content = CONTENT_SKIP;
	j->left -= n;
	if (j->left == 0)
		end_content(j);
	return n;
}

void junit_feed(struct junit *j, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len > 0 && !j->lost) {
		size_t n;

		if (j->left > 0) {
			n = take_content(j, p, len);
		} else if (j->padding > 0) {
			n = len < j->padding ? len : (size_t)j->padding;
			j->padding -= n;
		} else {
			n = BLOCK - j->n_header < len ? BLOCK - j->n_header : len;
			memcpy(j->header + j->n_header, p, n);
			j->n_header += n;
			if (j->n_header == BLOCK)
				begin_entry(j);
		}
		p += n;
		len -= n;
	}
}
