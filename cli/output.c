/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

void table_init(struct table *table, ...)
{
	const char *heading;
	va_list ap;

	*table = (struct table){ 0 };
	va_start(ap, table);
	while ((heading = va_arg(ap, const char *)))
		table_cell(table, heading);
	va_end(ap);
	table->n_columns = table->n_cells;
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ 0 };
}

char *text_harmless(const char *s, char *buf, size_t size)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++) {
		unsigned char c = (unsigned char)*s;

		/* 0xC2 0x80 to 0x9F are the control characters above ASCII. */
		if (c < 0x20 || c == 0x7f)
			buf[n++] = '?';
		else if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
			buf[n++] = (s++, '?');
		else
			buf[n++] = *s;
	}
	buf[n] = '\0';
	return buf;
}

void table_cell(struct table *table, const char *text)
{
	size_t size;
	char *cell;

	if (!text || !*text)
		text = "-";
	if (table->n_cells == table->room) {
		size_t room = table->room ? 2 * table->room : 64;
		char **cells = realloc(table->cells, room * sizeof(*cells));

		if (!cells) {
			table->failed = true;
			return;
		}
		table->cells = cells;
		table->room = room;
	}
	size = strlen(text) + 1;
	cell = malloc(size);
	if (!cell) {
		table->failed = true;
		return;
	}
	table->cells[table->n_cells++] = text_harmless(text, cell, size);
}

void table_cellf(struct table *table, const char *fmt, ...)
{
	autofree char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;
	table_cell(table, text);
}

size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* States and outcomes have a colour; a word beside it always says the same. */
static const char *colour_of(const char *text)
{
	static const struct {
		const char *word, *colour;
	} colours[] = {
		{ "running", "\033[32m" },  { "pass", "\033[32m" },     { "succeeded", "\033[32m" },
		{ "failed", "\033[31m" },   { "fail", "\033[31m" },     { "warn", "\033[33m" },
		{ "starting", "\033[33m" }, { "stopping", "\033[33m" }, { "deleting", "\033[33m" },
		{ "stopped", "\033[2m" },   { "created", "\033[2m" },   { "cancelled", "\033[2m" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colours); i++) {
		if (streq(colours[i].word, text))
			return colours[i].colour;
	}
	return NULL;
}

void table_print(const struct table *table, FILE *out, bool colour)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	if (table->failed || table->n_columns > TABLE_COLUMNS_MAX)
		return;
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t width = text_width(table->cells[i]);

		if (width > widths[i % table->n_columns])
			widths[i % table->n_columns] = width;
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t column = i % table->n_columns;
		const char *paint = colour ? colour_of(table->cells[i]) : NULL;

		(void)fprintf(out, "%s%s%s", paint ? paint : "", table->cells[i],
			      paint ? "\033[0m" : "");
		if (column + 1 == table->n_columns)
			(void)fputc('\n', out);
		else
			(void)fprintf(out, "%*s",
				      (int)(widths[column] - text_width(table->cells[i]) + 2), "");
	}
}

char *format_bytes(uint64_t bytes, char *buf)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	uint64_t tenths = bytes > UINT64_MAX / 10 ? UINT64_MAX : bytes * 10;
	size_t unit = 0;

	while (tenths >= 10240 && unit + 1 < ARRAY_SIZE(units)) {
		tenths = (tenths + 512) / 1024;
		unit++;
	}
	if (unit == 0 || tenths >= 100 || tenths % 10 == 0)
		(void)snprintf(buf, 32, "%llu %s", (unsigned long long)((tenths + 5) / 10),
			       units[unit]);
	else
		(void)snprintf(buf, 32, "%llu.%llu %s", (unsigned long long)(tenths / 10),
			       (unsigned long long)(tenths % 10), units[unit]);
	return buf;
}

char *format_duration_ms(int64_t ms, char *buf)
{
	long long s = (long long)ms / 1000;

	if (ms < 1000)
		(void)snprintf(buf, 32, "%lld ms", (long long)ms);
	else if (s < 60)
		(void)snprintf(buf, 32, "%lld.%lld s", s, (long long)ms / 100 % 10);
	else if (s < 3600)
		(void)snprintf(buf, 32, "%lld m", s / 60);
	else if (s < 2 * 86400)
		(void)snprintf(buf, 32, "%lld h", s / 3600);
	else
		(void)snprintf(buf, 32, "%lld d", s / 86400);
	return buf;
}

int64_t parse_rfc3339_ms(const char *s)
{
	struct tm tm = { 0 };
	const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms;

	if (!rest)
		return -1;
	ms = (int64_t)timegm(&tm) * 1000;
	if (*rest == '.') {
		int64_t scale = 100;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (*rest - '0') * scale;
	}
	return streq(rest, "Z") ? ms : -1;
}

char *format_age(const char *rfc3339, int64_t now_ms, char *buf)
{
	int64_t then = parse_rfc3339_ms(rfc3339), age = now_ms - then;

	if (then < 0) {
		(void)snprintf(buf, 32, "-");
		return buf;
	}
	/* Nobody counts the milliseconds of an age. */
	if (age < 60000) {
		(void)snprintf(buf, 32, "%lld s", age < 0 ? 0 : (long long)age / 1000);
		return buf;
	}
	return format_duration_ms(age, buf);
}

char *format_until(const char *rfc3339, int64_t now_ms, char *buf)
{
	int64_t then = parse_rfc3339_ms(rfc3339), left = then - now_ms;

	if (then < 0)
		(void)snprintf(buf, 32, "-");
	else if (left < 60000)
		(void)snprintf(buf, 32, "%lld s", left < 0 ? 0 : (long long)(left + 999) / 1000);
	else
		return format_duration_ms(left, buf);
	return buf;
}

const char *json_str(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

int64_t json_int(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	double number = json_number_value(value);

	/* What is no number counts as 0; durations may have decimals. */
	if (json_is_integer(value))
		return json_integer_value(value);
	return number > -9e18 && number < 9e18 ? (int64_t)number : 0;
}

int print_json(const json_t *value)
{
	autofree char *text = json_text_indented(value);

	if (text && puts(text) != EOF && fflush(stdout) != EOF)
		return 0;
	if (errno != EPIPE)
		(void)fprintf(stderr, "banger: standard output: %s\n", strerrordesc_np(errno));
	return 1;
}
