/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a kernel's modules the guest needs, and in which order they load. A package carries no
 * modules.dep (it is made at installation), so each module is asked itself: the section .modinfo of
 * a .ko names what it depends on.
 */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

enum { MODULE_NAME_MAX = 64, MODULES_MAX = 8192, MODULE_DEPENDS_MAX = 32 };

struct module {
	char name[MODULE_NAME_MAX]; /* with '_' where the file's name has '-' */
	char *depends;              /* names with ',' between, as above; never NULL */
};

struct module_set {
	struct module *v; /* sorted by name once module_set_sort() was called */
	size_t n;
	size_t cap;
};

void module_set_done(struct module_set *set);
void module_set_sort(struct module_set *set);
const struct module *module_set_find(const struct module_set *set, const char *name);

/* Adds a module from its file's bytes. `path` ends in "<name>.ko". */
int module_set_add(struct module_set *set, const char *path, const void *ko, size_t len,
		   struct error *err) MUST_USE;

/* "virtio_rng" from "…/virtio-rng.ko"; with ".ko.xz", ".ko.zst" or ".ko.gz" too. -EINVAL: no
 * module.
 */
int module_name(const char *path, char ret_name[MODULE_NAME_MAX]) MUST_USE;

struct module_wish {
	const char *name;
	const char *why; /* NULL: welcome, but not needed */
};

/* What a guest needs to boot from us, most urgent first; ended by a NULL name. */
extern const struct module_wish module_wishes[];

/*
 * The load order of what is wished for: dependencies in front, each once. `builtin` is the text of
 * the package's modules.builtin ("kernel/fs/ext4/ext4.ko" a line), where a wish may be met as well.
 * A needed one that is nowhere is ERR_INVALID, and the message names all of these. The array of
 * borrowed names is the caller's to free.
 */
int modules_resolve(const struct module_set *set, const char *builtin, const char ***ret_names,
		    size_t *ret_n, struct error *err) MUST_USE;
