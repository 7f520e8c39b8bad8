/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/template.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/digest/digest.h"
#include "server/vm/manifest.h"
#include "server/vm/standby.h"
#include "server/vm/template_internal.h"

/* --- keys --- */

/* Not before a key is asked for: an idle server has no use for libcrypto's tables. */
static bool know_agent(struct templates *t)
{
	autoclose int fd = *t->agent_digest ? -1 : open(t->c.agent, O_RDONLY | O_CLOEXEC);
	struct digest digest;
	int r;

	if (*t->agent_digest)
		return true;
	r = fd < 0 ? -errno : digest_file(fd, &digest);
	if (r < 0) {
		log_error("no VM starts from a template: read %s: %s", t->c.agent,
			  strerrordesc_np(-r));
		return false;
	}
	(void)snprintf(t->agent_digest, sizeof(t->agent_digest), "%s", digest.hex);
	return true;
}

void templates_key(struct templates *t, const struct vm_row *row, char key[TEMPLATE_KEY_LEN + 1])
{
	bool known = know_agent(t);
	const struct kernel_row *kernel = catalog_kernel_by_id(t->c.vms->c.catalog, row->kernel_id);
	struct digest digest;
	char text[2048];
	int n = snprintf(
		text, sizeof(text), "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%lld\n%lld\n%lld\n%s\n%s\n",
		row->image_id, row->kernel_id, kernel ? kernel->cmdline : "", t->agent_digest,
		t->here.vmm, t->here.vmm_version, t->here.accel, t->here.cpu, (long long)row->vcpus,
		(long long)row->memory_mib, (long long)row->disk_mib, row->network, row->init);

	key[0] = '\0';
	if (known && n > 0 && (size_t)n < sizeof(text) &&
	    digest_bytes(text, (size_t)n, &digest) == 0)
		(void)snprintf(key, TEMPLATE_KEY_LEN + 1, "%.*s", TEMPLATE_KEY_LEN, digest.hex);
}

void template_shape(const struct template *one, struct vm_row *ret_row)
{
	struct vm_row row = { .vcpus = one->vcpus,
			      .memory_mib = one->memory_mib,
			      .disk_mib = one->disk_mib };

	(void)snprintf(row.image_id, sizeof(row.image_id), "%s", one->image_id);
	(void)snprintf(row.image_name, sizeof(row.image_name), "%s", one->image_name);
	(void)snprintf(row.kernel_id, sizeof(row.kernel_id), "%s", one->kernel_id);
	(void)snprintf(row.network, sizeof(row.network), "%s", one->network);
	(void)snprintf(row.init, sizeof(row.init), "%s", one->init);
	*ret_row = row;
}

struct standbys *templates_standbys(struct templates *t)
{
	return t->standbys;
}

static bool key_valid(const char *s)
{
	return strlen(s) == TEMPLATE_KEY_LEN && strspn(s, "0123456789abcdef") == TEMPLATE_KEY_LEN;
}

/* --- the list --- */

struct template *templates_find(struct templates *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++)
		if (streq(t->list[i]->key, key))
			return t->list[i];
	return NULL;
}

const struct template *templates_at(const struct templates *t, size_t i)
{
	return i < t->n ? t->list[i] : NULL;
}

int template_add(struct templates *t, const struct template *one, struct error *err)
{
	struct template **bigger = reallocarray(t->list, t->n + 1, sizeof(struct template *));
	struct template *copy = malloc(sizeof(*copy));

	if (bigger)
		t->list = bigger;
	if (!bigger || !copy) {
		free(copy);
		return error_errno(err, -ENOMEM, "template");
	}
	*copy = *one;
	t->list[t->n++] = copy;
	return 0;
}

/* Out of sight first, then file by file: a crash in between leaves a name that the next start
 * removes. */
static int remove_folder(struct templates *t, const char *key)
{
	char gone[TEMPLATE_KEY_LEN + 8];

	(void)snprintf(gone, sizeof(gone), "%s.gone", key);
	if (renameat(t->dir_fd, key, t->dir_fd, gone) < 0 && errno != ENOENT)
		return -errno;
	return remove_tree_at(t->dir_fd, gone);
}

static void forget(struct templates *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!streq(t->list[i]->key, key))
			continue;
		free(t->list[i]);
		t->list[i] = t->list[--t->n];
		return;
	}
}

int templates_delete(struct templates *t, const char *key, const char *who, struct error *err)
{
	int r;

	if (!templates_find(t, key))
		return error_set(err, ERR_NOT_FOUND, "no template '%.64s'", key);
	standby_drop(t->standbys, key);
	r = remove_folder(t, key);
	if (r < 0)
		return error_errno(err, r, "remove template %s", key);
	events_emit(t->c.vms->c.events,
		    &(struct event){ .kind = "template.deleted", .target = key, .by = who });
	forget(t, key);
	return 0;
}

void template_collect(struct templates *t, const char *keep)
{
	for (;;) {
		const struct template *oldest = NULL;
		int64_t sum = 0;
		char key[TEMPLATE_KEY_LEN + 1];
		struct error err;

		for (size_t i = 0; i < t->n; i++) {
			const struct template *one = t->list[i];

			sum += one->size_bytes;
			if (!one->pinned && !streq(one->key, keep) &&
			    (!oldest || one->used_ms < oldest->used_ms))
				oldest = one;
		}
		if (sum <= (int64_t)t->c.max_bytes || !oldest)
			return;
		(void)snprintf(key, sizeof(key), "%s", oldest->key);
		if (templates_delete(t, key, "server", &err) < 0) {
			log_warn("%s", err.msg);
			return;
		}
	}
}

/* --- manifests --- */

static const struct manifest_field fields[] = {
	MANIFEST_FIELD(TEXT, template, key),        MANIFEST_FIELD(TEXT, template, image_name),
	MANIFEST_FIELD(TEXT, template, image_id),   MANIFEST_FIELD(TEXT, template, kernel_id),
	MANIFEST_FIELD(TEXT, template, network),    MANIFEST_FIELD(TEXT, template, init),
	MANIFEST_FIELD(NUMBER, template, vcpus),    MANIFEST_FIELD(NUMBER, template, memory_mib),
	MANIFEST_FIELD(NUMBER, template, disk_mib), MANIFEST_FIELD(NUMBER, template, created_ms),
	MANIFEST_FIELD(NUMBER, template, used_ms),  MANIFEST_FIELD(NUMBER, template, size_bytes),
	MANIFEST_FIELD(BOOL, template, pinned),     MADE_FIELDS(template),
};

int template_write_manifest(int dir_fd, const struct template *one)
{
	return manifest_write(dir_fd, fields, ARRAY_SIZE(fields), one);
}

int templates_pin(struct templates *t, const char *key, bool pinned, struct error *err)
{
	struct template *one = templates_find(t, key);
	autoclose int dir = one ? templates_open(t, key) : -ENOENT;
	int r;

	if (!one)
		return error_set(err, ERR_NOT_FOUND, "no template '%.64s'", key);
	one->pinned = pinned;
	r = dir < 0 ? dir : template_write_manifest(dir, one);
	return r < 0 ? error_errno(err, r, "template %s", key) : 0;
}

void templates_verified(struct templates *t, const char *key)
{
	struct template *one = templates_find(t, key);

	if (one)
		one->verified = true;
}

void templates_used(struct templates *t, const char *key)
{
	struct template *one = templates_find(t, key);

	if (one)
		one->used_ms = clock_wall_ms();
}

int templates_open(const struct templates *t, const char *key)
{
	return key_valid(key) ? open_beneath(t->dir_fd, key, O_RDONLY | O_DIRECTORY, 0) : -ENOENT;
}

/* --- start and end --- */

/* Still the template of the shape that it says it has? */
static bool fits(struct templates *t, const struct template *one)
{
	char key[TEMPLATE_KEY_LEN + 1];
	struct vm_row row;

	template_shape(one, &row);
	templates_key(t, &row, key);
	return streq(key, one->key);
}

static void load_one(struct templates *t, const char *name)
{
	autoclose int dir = -1;
	struct template one = { .key = "" };
	struct error err;

	dir = key_valid(name) ? templates_open(t, name) : -ENOENT;
	if (dir >= 0 && manifest_read(dir, fields, ARRAY_SIZE(fields), &one) == 0 &&
	    streq(one.key, name) && fits(t, &one) && template_add(t, &one, &err) == 0)
		return;
	log_fields(LOG_INFO, "removing a template that fits nothing any more", "template", name,
		   NULL);
	(void)!remove_tree_at(t->dir_fd, name);
}

static int load_all(struct templates *t, struct error *err)
{
	DIR *dir = dir_entries(t->dir_fd);
	const struct dirent *e;

	if (!dir)
		return error_errno(err, -errno, "read the folder of templates");
	/* One DIR, one caller: what readdir(3) asks. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			load_one(t, e->d_name);
	(void)closedir(dir);
	return 0;
}

int templates_new(const struct templates_config *config, struct templates **ret_templates,
		  struct error *err)
{
	struct templates *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return error_errno(err, -ENOMEM, "templates");
	t->c = *config;
	made_here(config->vms, &t->here);
	t->dir = path_join(config->state_dir, "templates");
	t->dir_fd = t->dir ? open_dir_create(t->dir, 0700) : -ENOMEM;
	r = t->dir_fd < 0 ? error_errno(err, t->dir_fd, "open the folder of templates") : 0;
	if (r == 0 && access(t->c.agent, R_OK) < 0)
		r = error_errno(err, -errno, "read %s", t->c.agent);
	if (r == 0)
		r = standbys_new(t, config->vms, config->standby, &t->standbys, err);
	if (r == 0)
		r = load_all(t, err);
	if (r < 0) {
		templates_free(t);
		return r;
	}
	*ret_templates = t;
	return 0;
}

void templates_free(struct templates *t)
{
	if (!t)
		return;
	standbys_free(t->standbys);
	for (size_t i = 0; i < t->n; i++)
		free(t->list[i]);
	free(t->list);
	free(t->dir);
	close_keep_errno(t->dir_fd);
	free(t);
}
