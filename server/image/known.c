/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/known.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { KNOWN_MAX = 256 };

/* What is remembered is of this form of ours; the number changes with what we make of things. */
static const char form[] = "2 ";

bool known_find(const struct image_paths *paths, const char *parent, const char *kind,
		const char *key, char ret_id[STORE_ID_SIZE])
{
	autofree char *folder = path_join(paths->cache, kind);
	autofree char *text = NULL;
	autoclose int dir = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (dir < 0 || read_file_at(dir, key, KNOWN_MAX, &text, NULL) < 0 ||
	    !str_has_prefix(text, form) || !entry_id_valid(text + strlen(form)))
		return false;
	(void)snprintf(ret_id, STORE_ID_SIZE, "%.71s", text + strlen(form));
	return entry_hold(parent, ret_id);
}

void known_remember(const struct image_paths *paths, const char *kind, const char *key,
		    const char *id)
{
	autofree char *folder = path_join(paths->cache, kind);
	autoclose int dir = folder ? open_dir_create(folder, 0700) : -1;
	char text[KNOWN_MAX];
	int n = snprintf(text, sizeof(text), "%s%s", form, id);

	if (dir >= 0)
		(void)!write_file_at(dir, key, text, (size_t)n, 0600);
}
