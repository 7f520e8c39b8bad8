/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/config.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { FILE_MAX = 64 * 1024, LINE_MAX_ = 190 };

enum kind { NUMBER, TEXT };

struct key {
	const char *section;
	const char *key;
	enum kind kind;
	int64_t least;
	int64_t most;
	const char *builtin;
	const char *meaning;
};

#define KEY_ROW(name, section, key, kind, least, most, builtin, meaning) \
	[CONFIG_##name] = { section, key, kind, least, most, builtin, meaning },
static const struct key keys[] = { CONFIG_KEYS(KEY_ROW) };
#undef KEY_ROW
static_assert(ARRAY_SIZE(keys) == CONFIG_KEY_MAX_, "every key has a row");

/* Words that a TEXT may be; a key without a row takes any text. */
static const struct {
	enum config_key key;
	const char *words[5];
} words[] = {
	{ CONFIG_SERVER_LOG_LEVEL, { "error", "warn", "info", "debug" } },
	{ CONFIG_SERVER_VMM, { "auto", "qemu", "firecracker" } },
	{ CONFIG_VMS_NETWORK, { "auto", "none", "user", "bridge" } },
};

static const char *const source_names[] = {
	[CONFIG_BUILTIN] = "builtin",
	[CONFIG_HOST] = "host",
	[CONFIG_FILE] = "config",
	[CONFIG_OPTION] = "option",
};
static_assert(ARRAY_SIZE(source_names) == CONFIG_SOURCE_MAX_, "every source has a name");

const char *config_source_name(enum config_source source)
{
	return source_names[source];
}

static int parse_number(const struct key *k, const char *text, int64_t *ret_number,
			struct error *err)
{
	char *end = NULL;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return error_set(err, ERR_INVALID, "%s.%s: '%.32s' is not a whole number",
				 k->section, k->key, text);
	if (n < k->least || n > k->most)
		return error_set(err, ERR_INVALID, "%s.%s: %lld is not between %lld and %lld",
				 k->section, k->key, n, (long long)k->least, (long long)k->most);
	*ret_number = n;
	return 0;
}

static int check_word(enum config_key key, const char *text, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (words[i].key != key)
			continue;
		for (size_t w = 0; words[i].words[w]; w++)
			if (streq(words[i].words[w], text))
				return 0;
		return error_set(err, ERR_INVALID, "%s.%s: '%.32s' is none of %s",
				 keys[key].section, keys[key].key, text, keys[key].meaning);
	}
	return 0;
}

/* Relative to what would be anybody's guess. */
static int check_path(enum config_key key, const char *text, struct error *err)
{
	if (key != CONFIG_GUEST_KEYS || !text[0] || streq(text, "off") || text[0] == '/' ||
	    str_has_prefix(text, "~/"))
		return 0;
	return error_set(err, ERR_INVALID, "%s.%s: '%.64s' is neither absolute, ~/… nor off",
			 keys[key].section, keys[key].key, text);
}

int config_set(struct config *config, enum config_key key, const char *text,
	       enum config_source source, struct error *err)
{
	struct config_value *v = &config->values[key];
	int64_t number = 0;
	int r;

	if (strlen(text) >= sizeof(v->text))
		return error_set(err, ERR_INVALID, "%s.%s: the value is too long",
				 keys[key].section, keys[key].key);
	r = keys[key].kind == NUMBER ? parse_number(&keys[key], text, &number, err)
				     : check_word(key, text, err);
	if (r == 0)
		r = check_path(key, text, err);
	if (r < 0)
		return r;
	(void)snprintf(v->text, sizeof(v->text), "%s", text);
	v->number = number;
	v->source = source;
	return 0;
}

static void set_number(struct config *config, enum config_key key, uint64_t number)
{
	char text[24];
	struct error err;

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	/* Within its bounds by the way it was computed. */
	(void)!config_set(config, key, text, CONFIG_HOST, &err);
}

void config_init(struct config *config, const struct config_host *host)
{
	struct error err;

	for (size_t i = 0; i < CONFIG_KEY_MAX_; i++) {
		int r = config_set(config, (enum config_key)i, keys[i].builtin, CONFIG_BUILTIN,
				   &err);

		assert(r == 0);
	}
	/* A small host gets small VMs; a small disk is not filled with templates. */
	if (host->memory_mib > 0 && host->memory_mib < 2048)
		set_number(config, CONFIG_VMS_MEMORY, 256);
	if (host->disk_mib > 0 && host->disk_mib / 20 < 1024)
		set_number(config, CONFIG_VMS_DISK_RESERVE, host->disk_mib / 20);
	if (host->disk_mib > 0 && host->disk_mib / 5 < 8192)
		set_number(config, CONFIG_TEMPLATES_MAX, host->disk_mib / 5);
}

struct reading {
	struct config *config;
	bool seen[CONFIG_KEY_MAX_];
	struct error error; /* the first */
};

static int add_sync(struct config *config, const char *host, const char *value, struct error *err)
{
	int r;

	if (config->n_sync == FILE_SYNC_MAX)
		return error_set(
			err, ERR_INVALID,
			"more than %d lines in [file_sync]; name folders in place of files",
			FILE_SYNC_MAX);
	r = file_sync_parse(host, value, &config->sync[config->n_sync], err);
	if (r == 0)
		config->n_sync++;
	return r;
}

/* The last of two would win in silence; inih also takes an indented line for more of a value. */
static int set_once(struct reading *r, enum config_key key, const char *value, struct error *err)
{
	if (r->seen[key])
		return error_set(err, ERR_INVALID,
				 "%s.%s is set twice, or this indented line goes on with its value",
				 keys[key].section, keys[key].key);
	r->seen[key] = true;
	return config_set(r->config, key, value, CONFIG_FILE, err);
}

/* Called by inih for each line that has a key; 0 makes it remember the line's number. */
static int on_key(void *data, const char *section, const char *name, const char *value)
{
	struct reading *r = data;
	struct error err;

	if (streq(section, "file_sync")) {
		if (add_sync(r->config, name, value ? value : "", &err) == 0)
			return 1;
		if (r->error.code == ERR_NONE)
			r->error = err;
		return 0;
	}
	for (size_t i = 0; i < CONFIG_KEY_MAX_; i++) {
		if (!streq(keys[i].section, section) || !streq(keys[i].key, name))
			continue;
		if (set_once(r, (enum config_key)i, value ? value : "", &err) == 0)
			return 1;
		if (r->error.code == ERR_NONE)
			r->error = err;
		return 0;
	}
	if (r->error.code == ERR_NONE)
		(void)error_set(&r->error, ERR_INVALID,
				"there is no key '%.64s' in section [%.64s]", name, section);
	return 0;
}

/*
 * inih reads lines of at most LINE_MAX_ bytes and takes the rest of a longer one for the next line:
 * comments are blanked out, anything else so long is refused. The number of the line, or 0.
 */
static int bound_lines(char *text)
{
	int number = 1;

	for (char *line = text; *line; number++) {
		size_t len = strcspn(line, "\n");
		const char *first = line + strspn(line, " \t");

		if (*first == '#' || *first == ';')
			memset(line, '#', len);
		else if (len > LINE_MAX_)
			return number;
		if (len > LINE_MAX_)
			memmove(line + 1, line + len, strlen(line + len) + 1);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return 0;
}

/* inih tells the first bad line, but goes on to later keys: what is wrong is in that line. */
static const char *fault_of_line(const char *text, int number)
{
	size_t len;

	for (int n = 1; n < number; n++)
		text += strcspn(text, "\n") + 1;
	/* An indented one goes on with the value above. */
	if (*text == ' ' || *text == '\t')
		return NULL;
	len = strcspn(text, "\n");
	if (*text == '[' && !memchr(text, ']', len))
		return "the section's name has no ']' behind it";
	if (*text != '[' && !memchr(text, '=', len) && !memchr(text, ':', len))
		return "neither a [section] nor 'key = value'";
	return NULL;
}

int config_read(struct config *config, const char *path, struct error *err)
{
	struct reading reading = { .config = config };
	autofree char *text = NULL;
	const char *fault;
	size_t len = 0;
	int r = read_file(path, FILE_MAX, &text, &len);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_errno(err, r, "read %s", path);
	if (memchr(text, '\0', len))
		return error_set(err, ERR_INVALID, "%s is not a text file", path);
	r = bound_lines(text);
	if (r > 0)
		return error_set(err, ERR_INVALID, "%s:%d: the line is longer than %d bytes", path,
				 r, LINE_MAX_);
	r = ini_parse_string(text, on_key, &reading);
	if (r == 0)
		return 0;
	if (r < 0)
		return error_errno(err, -ENOMEM, "read %s", path);
	fault = fault_of_line(text, r);
	if (!fault)
		fault = reading.error.code == ERR_NONE ? "neither a [section] nor 'key = value'"
						       : reading.error.msg;
	return error_set(err, ERR_INVALID, "%s:%d: %s", path, r, fault);
}

int64_t config_number(const struct config *config, enum config_key key)
{
	assert(keys[key].kind == NUMBER);
	return config->values[key].number;
}

const char *config_text(const struct config *config, enum config_key key)
{
	return config->values[key].text;
}

/* What it may be, where that is not any text. */
static void add_bounds(json_t *o, enum config_key key)
{
	if (keys[key].kind == NUMBER) {
		(void)json_object_set_new(o, "min", json_integer(keys[key].least));
		(void)json_object_set_new(o, "max", json_integer(keys[key].most));
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		json_t *allowed = words[i].key == key ? json_array() : NULL;

		for (size_t w = 0; allowed && words[i].words[w]; w++)
			(void)json_array_append_new(allowed, json_string(words[i].words[w]));
		if (allowed)
			(void)json_object_set_new(o, "allowed", allowed);
	}
}

json_t *config_to_json(const struct config *config)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CONFIG_KEY_MAX_; i++) {
		const struct config_value *v = &config->values[i];
		json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "section", keys[i].section,
				      "key", keys[i].key, "source", config_source_name(v->source),
				      "builtin", keys[i].builtin, "meaning", keys[i].meaning);

		(void)json_object_set_new(o, "value",
					  keys[i].kind == NUMBER ? json_integer(v->number)
								 : json_string(v->text));
		add_bounds(o, (enum config_key)i);
		(void)json_array_append_new(list, o);
	}
	return json_pack("{s:o}", "items", list);
}
