/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was made of an input once, remembered in the cache: a file a key, in a folder a kind, with
 * the id of the entry of the store. It only saves work, and may be lost at any time.
 */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/*
 * The id of an entry of `parent` (paths->images or ->kernels) that is remembered and still there;
 * it is young again, so that nobody collects it before it has its name.
 */
bool known_find(const struct image_paths *paths, const char *parent, const char *kind,
		const char *key, char ret_id[STORE_ID_SIZE]);
void known_remember(const struct image_paths *paths, const char *kind, const char *key,
		    const char *id);
