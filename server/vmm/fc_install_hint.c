/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_install_hint.h"

#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/macro.h"

enum { OS_RELEASE_MAX = 64 * 1024, VALUE_MAX = 256 };

static const struct {
	const char *id;
	const char *hint;
} hints[] = {
	{ "debian", "sudo apt-get install firecracker" },
	{ "arch", "paru -S firecracker-bin" },
	{ "manjaro", "paru -S firecracker-bin" },
	{ "nixos", "nix-env -iA nixos.firecracker" },
};

static const char elsewhere[] =
	"get a release from https://github.com/firecracker-microvm/firecracker/releases";

static const char *hint_for(const char *id, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
		if (strlen(hints[i].id) == len && strncmp(hints[i].id, id, len) == 0)
			return hints[i].hint;
	}
	return NULL;
}

/* The value of KEY=value, unquoted. "" when it is not there or too long. */
static void value_of(const char *text, const char *key, char *buf, size_t size)
{
	size_t key_len = strlen(key);

	*buf = '\0';
	for (const char *line = text; line && *line;) {
		if (strncmp(line, key, key_len) == 0 && line[key_len] == '=') {
			const char *value = line + key_len + 1;
			size_t len = strcspn(value, "\r\n");

			if (len >= 2 && (value[0] == '"' || value[0] == '\'') &&
			    value[len - 1] == value[0]) {
				value++;
				len -= 2;
			}
			if (len < size) {
				memcpy(buf, value, len);
				buf[len] = '\0';
			}
			return;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
}

const char *fc_install_hint(const char *os_release)
{
	char value[VALUE_MAX];
	const char *hint;

	if (!os_release)
		return elsewhere;
	value_of(os_release, "ID", value, sizeof(value));
	hint = hint_for(value, strlen(value));
	if (hint)
		return hint;
	value_of(os_release, "ID_LIKE", value, sizeof(value));
	for (const char *word = value; *word;) {
		size_t len = strcspn(word, " ");

		hint = hint_for(word, len);
		if (hint)
			return hint;
		word += len;
		word += strspn(word, " ");
	}
	return elsewhere;
}

char *os_release_read(void)
{
	char *text = NULL;

	if (read_file("/etc/os-release", OS_RELEASE_MAX, &text, NULL) < 0 &&
	    read_file("/usr/lib/os-release", OS_RELEASE_MAX, &text, NULL) < 0)
		return NULL;
	return text;
}
