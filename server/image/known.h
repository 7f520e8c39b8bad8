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
/* Who makes what has a key, so that others wait and find it made. */
struct known_lock {
	int dir;
	int fd;
	char name[96];
};
#define KNOWN_LOCK_INIT ((struct known_lock){ .dir = -1, .fd = -1 })

/* Waits for another one that makes it, as stage "wait"; cancellation ends that. */
int known_lock(const struct image_paths *paths, const char *kind, const char *key, struct op *op,
	       struct known_lock *ret_lock, struct error *err) MUST_USE;
void known_unlock(struct known_lock *lock);

void known_remember(const struct image_paths *paths, const char *kind, const char *key,
		    const char *id);
