/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/modules.h"

#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

const struct module_wish module_wishes[] = {
	{ "virtio_mmio", "finds the virtual devices" },
	{ "virtio_blk", "disks" },
	{ "virtio_console", "link to the server" },
	{ "squashfs", "reads images" },
	{ "overlay", "makes images writable" },
	{ "ext4", "work disks" },
	{ "virtio_net", "network" },
	{ "vmw_vsock_virtio_transport", NULL },
	{ "virtio_rng", NULL },
	{ "virtio_balloon", NULL },
	{ NULL, NULL },
};

void module_set_done(struct module_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->v[i].depends);
	free(set->v);
	*set = (struct module_set){ 0 };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct module *)a)->name, ((const struct module *)b)->name);
}

void module_set_sort(struct module_set *set)
{
	if (set->n)
		qsort(set->v, set->n, sizeof(set->v[0]), by_name);
}

const struct module *module_set_find(const struct module_set *set, const char *name)
{
	struct module key = { 0 };

	if (strlen(name) >= sizeof(key.name) || !set->n)
		return NULL;
	(void)snprintf(key.name, sizeof(key.name), "%s", name);
	return bsearch(&key, set->v, set->n, sizeof(set->v[0]), by_name);
}

int module_name(const char *path, char ret_name[MODULE_NAME_MAX])
{
	const char *base = strrchr(path, '/');
	const char *end;
	size_t len;

	base = base ? base + 1 : path;
	end = strstr(base, ".ko");
	if (!end || !(streq(end, ".ko") || streq(end, ".ko.xz") || streq(end, ".ko.zst") ||
		      streq(end, ".ko.gz")))
		return -EINVAL;
	len = (size_t)(end - base);
	if (len == 0 || len >= MODULE_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		ret_name[i] = base[i] == '-' ? '_' : base[i];
	ret_name[len] = '\0';
	return 0;
}

/* --- .modinfo --- */

struct view {
	const uint8_t *p;
	uint64_t len;
};

static bool view_part(const struct view *whole, uint64_t at, uint64_t len, struct view *ret_part)
{
	if (at > whole->len || len > whole->len - at)
		return false;
	*ret_part = (struct view){ .p = whole->p + at, .len = len };
	return true;
}

static bool section(const struct view *ko, const Elf64_Ehdr *eh, size_t i, Elf64_Shdr *ret_sh,
		    struct view *ret_data)
{
	struct view raw;

	if (!view_part(ko, eh->e_shoff + (uint64_t)i * sizeof(*ret_sh), sizeof(*ret_sh), &raw))
		return false;
	memcpy(ret_sh, raw.p, sizeof(*ret_sh));
	return ret_sh->sh_type == SHT_NOBITS
		       ? view_part(ko, 0, 0, ret_data)
		       : view_part(ko, ret_sh->sh_offset, ret_sh->sh_size, ret_data);
}

/* The text at `at`, or "" when it does not end inside of the view. */
static const char *view_text(const struct view *view, uint64_t at)
{
	if (at >= view->len || !memchr(view->p + at, '\0', (size_t)(view->len - at)))
		return "";
	return (const char *)view->p + at;
}

static bool find_modinfo(const struct view *ko, struct view *ret_modinfo)
{
	struct view names;
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	if (ko->len < sizeof(eh))
		return false;
	memcpy(&eh, ko->p, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    !section(ko, &eh, eh.e_shstrndx, &sh, &names))
		return false;
	for (size_t i = 0; i < eh.e_shnum; i++) {
		if (!section(ko, &eh, i, &sh, ret_modinfo))
			return false;
		if (streq(view_text(&names, sh.sh_name), ".modinfo"))
			return true;
	}
	return false;
}

int module_set_add(struct module_set *set, const char *path, const void *ko, size_t len,
		   struct error *err)
{
	static const char word[] = "depends=";
	struct view whole = { .p = ko, .len = len };
	struct module module = { .depends = NULL };
	const char *depends = "";
	struct view info;

	if (module_name(path, module.name) < 0 || !find_modinfo(&whole, &info))
		return error_set(err, ERR_INVALID, "not a kernel module");
	for (uint64_t at = 0; at < info.len; at += strlen(view_text(&info, at)) + 1) {
		const char *text = view_text(&info, at);

		if (str_has_prefix(text, word))
			depends = text + strlen(word);
	}
	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 64;
		struct module *v =
			cap <= MODULES_MAX ? reallocarray(set->v, cap, sizeof(set->v[0])) : NULL;

		if (!v)
			return error_errno(err, -ENOMEM, "modules");
		set->v = v;
		set->cap = cap;
	}
	module.depends = strdup(depends);
	if (!module.depends)
		return error_errno(err, -ENOMEM, "modules");
	for (char *p = module.depends; *p; p++)
		if (*p == '-')
			*p = '_';
	set->v[set->n++] = module;
	return 0;
}

/* --- load order --- */

struct order {
	const struct module_set *set;
	const char *builtin;
	const char **names;
	size_t n;
	char missing[256];
};

static bool is_builtin(const char *builtin, const char *name)
{
	for (const char *line = builtin; *line;) {
		size_t len = strcspn(line, "\n");
		char there[MODULE_NAME_MAX];
		char path[256];

		if (len < sizeof(path)) {
			memcpy(path, line, len);
			path[len] = '\0';
			if (module_name(path, there) == 0 && streq(there, name))
				return true;
		}
		line += len;
		line += *line == '\n';
	}
	return false;
}

static bool is_listed(const struct order *order, const char *name)
{
	for (size_t i = 0; i < order->n; i++)
		if (streq(order->names[i], name))
			return true;
	return false;
}

/* Depth first with a stack of its own: the depth of dependencies is input. */
static int add_with_dependencies(struct order *order, const char *name, struct error *err)
{
	struct {
		const struct module *module;
		const char *rest; /* of its dependencies */
	} stack[MODULE_DEPENDS_MAX];
	size_t depth = 0;

	stack[depth].module = module_set_find(order->set, name);
	stack[depth].rest = stack[depth].module->depends;
	depth++;
	while (depth > 0) {
		const char *rest = stack[depth - 1].rest;
		const struct module *next;
		char dep[MODULE_NAME_MAX];
		size_t len = strcspn(rest, ",");

		if (len == 0) {
			depth--;
			if (!is_listed(order, stack[depth].module->name))
				order->names[order->n++] = stack[depth].module->name;
			continue;
		}
		stack[depth - 1].rest = rest + len + (rest[len] == ',');
		if (len >= sizeof(dep))
			return error_set(err, ERR_INVALID, "module %s: bad list of dependencies",
					 stack[depth - 1].module->name);
		memcpy(dep, rest, len);
		dep[len] = '\0';
		if (is_listed(order, dep) || is_builtin(order->builtin, dep))
			continue;
		next = module_set_find(order->set, dep);
		if (!next)
			return error_set(err, ERR_INVALID, "module %s needs %s, which is not there",
					 stack[depth - 1].module->name, dep);
		if (depth == ARRAY_SIZE(stack))
			return error_set(err, ERR_INVALID,
					 "module %s: its dependencies go too deep or in a circle",
					 name);
		stack[depth].module = next;
		stack[depth].rest = next->depends;
		depth++;
	}
	return 0;
}

int modules_resolve(const struct module_set *set, const char *builtin, const char ***ret_names,
		    size_t *ret_n, struct error *err)
{
	autofree const char **names = calloc(set->n + 1, sizeof(*names));
	struct order order = { .set = set, .builtin = builtin, .names = names };

	if (!names)
		return error_errno(err, -ENOMEM, "modules");
	for (const struct module_wish *wish = module_wishes; wish->name; wish++) {
		size_t used = strlen(order.missing);
		int r;

		if (is_listed(&order, wish->name) || is_builtin(builtin, wish->name))
			continue;
		if (module_set_find(set, wish->name)) {
			r = add_with_dependencies(&order, wish->name, err);
			if (r < 0)
				return r;
		} else if (wish->why) {
			(void)snprintf(order.missing + used, sizeof(order.missing) - used,
				       "%s%s (%s)", used ? ", " : "", wish->name, wish->why);
		}
	}
	if (order.missing[0])
		return error_set(err, ERR_INVALID, "the kernel lacks %s", order.missing);
	*ret_names = TAKE_PTR(names);
	*ret_n = order.n;
	return 0;
}
