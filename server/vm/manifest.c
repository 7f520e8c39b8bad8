/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/manifest.h"

#include <errno.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"

enum { MANIFEST_MAX = 64 * 1024 };

int manifest_write(int dir_fd, const struct manifest_field *fields, size_t n, const void *data)
{
	json_auto_t *o = json_object();
	autofree char *text = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)data + fields[i].offset;
		json_t *value = NULL;
		int64_t number;
		bool flag;

		switch (fields[i].kind) {
		case MANIFEST_TEXT:
			value = json_string(at);
			break;
		case MANIFEST_NUMBER:
			memcpy(&number, at, sizeof(number));
			value = json_integer(number);
			break;
		case MANIFEST_BOOL:
			memcpy(&flag, at, sizeof(flag));
			value = json_boolean(flag);
			break;
		}
		if (json_object_set_new(o, fields[i].name, value) < 0)
			return -ENOMEM;
	}
	text = json_text(o);
	return text ? write_file_at(dir_fd, "manifest.json", text, strlen(text), 0600) : -ENOMEM;
}

static bool read_field(const json_t *value, const struct manifest_field *f, char *at)
{
	const char *text = json_string_value(value);
	int64_t number = json_integer_value(value);
	bool flag = json_is_true(value);

	switch (f->kind) {
	case MANIFEST_TEXT:
		if (!text || strlen(text) >= f->size)
			return false;
		memcpy(at, text, strlen(text) + 1);
		return true;
	case MANIFEST_NUMBER:
		memcpy(at, &number, sizeof(number));
		return json_is_integer(value);
	case MANIFEST_BOOL:
		memcpy(at, &flag, sizeof(flag));
		return json_is_boolean(value);
	}
	return false;
}

int manifest_read(int dir_fd, const struct manifest_field *fields, size_t n, void *ret_data)
{
	autofree char *text = NULL;
	json_auto_t *o = NULL;
	struct error err;
	size_t len = 0;
	int r = read_file_at(dir_fd, "manifest.json", MANIFEST_MAX, &text, &len);

	if (r < 0)
		return r;
	o = json_parse(text, len, &err);
	for (size_t i = 0; i < n; i++)
		if (!o || !read_field(json_object_get(o, fields[i].name), &fields[i],
				      (char *)ret_data + fields[i].offset))
			return -EBADMSG;
	return 0;
}
