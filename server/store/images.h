/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of images and kernels: names for what lies in the content-addressed store. */
#pragma once

#include "server/store/store.h"

struct image_row {
	char name[256];
	char id[72];
	char source[512];
	int64_t size_bytes;
	char config[16384]; /* a JSON object */
	int64_t created_ms;
};

struct kernel_row {
	char name[256];
	char id[72];
	char version[96];
	char source[512];
	int64_t size_bytes;
	char cmdline[512];
	int64_t created_ms;
};

/* Adds or replaces by name. */
int images_put(struct store *store, const struct image_row *i, struct error *err) MUST_USE;
int images_delete(struct store *store, const char *name, struct error *err) MUST_USE;
int kernels_put(struct store *store, const struct kernel_row *k, struct error *err) MUST_USE;
int kernels_delete(struct store *store, const char *name, struct error *err) MUST_USE;

/* By name; a negative return of fn ends the walk and is returned. */
typedef int images_each_fn(const struct image_row *row, void *data, struct error *err);
int images_each(struct store *store, images_each_fn *fn, void *data, struct error *err) MUST_USE;
typedef int kernels_each_fn(const struct kernel_row *row, void *data, struct error *err);
int kernels_each(struct store *store, kernels_each_fn *fn, void *data, struct error *err) MUST_USE;
