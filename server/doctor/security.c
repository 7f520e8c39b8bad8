/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What docs/privileges.md promises about a system install, held against the running one. One row a
 * promise, so that a removed line of a unit makes exactly its own row fail.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/helper/wire.h"
#include "server/doctor/check.h"

enum { VALUE_MAX = 256 };

enum unit { UNIT_HELPER, UNIT_SERVER, UNIT_MAX_ };

static const char *const unit_names[] = {
	[UNIT_HELPER] = HELPER_UNIT,
	[UNIT_SERVER] = "banger-server.service",
};

enum compare {
	COMPARE_TEXT,
	COMPARE_SET,   /* the same words in any order */
	COMPARE_OWNER, /* the owner named in the install record */
};

struct promise {
	const char *row;
	enum unit unit;
	const char *property; /* as systemctl show names it */
	enum compare compare;
	const char *want;
};

#define PROMISE(u, word, property, want)                                \
	{                                                               \
		word " unit " property, u, property, COMPARE_TEXT, want \
	}

static const struct promise promises[] = {
	{ "helper service active", UNIT_HELPER, "ActiveState", COMPARE_TEXT, "active" },
	{ "server service active", UNIT_SERVER, "ActiveState", COMPARE_TEXT, "active" },
	PROMISE(UNIT_HELPER, "helper", "NoNewPrivileges", "yes"),
	PROMISE(UNIT_HELPER, "helper", "ProtectSystem", "strict"),
	PROMISE(UNIT_HELPER, "helper", "ProtectHome", "yes"),
	PROMISE(UNIT_HELPER, "helper", "RestrictSUIDSGID", "yes"),
	PROMISE(UNIT_HELPER, "helper", "LockPersonality", "yes"),
	{ "helper unit CapabilityBoundingSet", UNIT_HELPER, "CapabilityBoundingSet", COMPARE_SET,
	  HELPER_CAPABILITIES },
	PROMISE(UNIT_SERVER, "server", "NoNewPrivileges", "yes"),
	PROMISE(UNIT_SERVER, "server", "ProtectSystem", "strict"),
	PROMISE(UNIT_SERVER, "server", "ProtectHome", "read-only"),
	PROMISE(UNIT_SERVER, "server", "RestrictSUIDSGID", "yes"),
	PROMISE(UNIT_SERVER, "server", "LockPersonality", "yes"),
	{ "server unit User", UNIT_SERVER, "User", COMPARE_OWNER, NULL },
};

/* What the install wrote down. */
struct install {
	char owner[VALUE_MAX];
	char owner_uid[VALUE_MAX];
	char helper_socket[VALUE_MAX];
	char server_socket[VALUE_MAX];
	char firecracker[VALUE_MAX]; /* "": none */
};

static const struct {
	const char *key;
	size_t offset;
} install_fields[] = {
	{ "owner", offsetof(struct install, owner) },
	{ "owner_uid", offsetof(struct install, owner_uid) },
	{ "helper_socket", offsetof(struct install, helper_socket) },
	{ "server_socket", offsetof(struct install, server_socket) },
	{ "firecracker", offsetof(struct install, firecracker) },
};

/* The value of `name` in lines of name=value (systemctl) or name = "value" (TOML). */
static bool find_value(const char *text, const char *name, char *buf, size_t size)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		const char *v;
		size_t len;

		p += strspn(p, " \t");
		if (strncmp(p, name, n) != 0)
			continue;
		v = p + n + strspn(p + n, " \t");
		if (*v != '=')
			continue;
		v++;
		v += strspn(v, " \t\"");
		len = strcspn(v, "\"\n");
		if (len >= size)
			return false;
		memcpy(buf, v, len);
		buf[len] = '\0';
		return true;
	}
	return false;
}

static bool word_in(const char *word, size_t len, const char *list)
{
	while (*list) {
		size_t n;

		list += strspn(list, " ");
		n = strcspn(list, " ");
		if (n == len && strncasecmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool subset(const char *a, const char *b)
{
	while (*a) {
		size_t n;

		a += strspn(a, " ");
		n = strcspn(a, " ");
		if (n > 0 && !word_in(a, n, b))
			return false;
		a += n;
	}
	return true;
}

static void check_promise(const struct promise *p, const struct install *install, const char *shown,
			  struct doctor_row *row)
{
	const char *want = p->compare == COMPARE_OWNER ? install->owner : p->want;
	char have[VALUE_MAX * 4] = "";
	bool ok;

	if (!shown || !find_value(shown, p->property, have, sizeof(have))) {
		row_set(row, DOCTOR_FAIL, "systemctl does not tell %s of %s", p->property,
			unit_names[p->unit]);
		row_remedy(row, "systemctl status %s", unit_names[p->unit]);
		return;
	}
	ok = p->compare == COMPARE_SET ? subset(have, want) && subset(want, have)
				       : want[0] && streq(have, want);
	row_set(row, ok ? DOCTOR_PASS : DOCTOR_FAIL, "%s: %s=%s%s%s", unit_names[p->unit],
		p->property, have, ok ? "" : ", should be ", ok ? "" : want);
	if (ok)
		return;
	if (streq(p->property, "ActiveState"))
		row_remedy(row, "systemctl restart %s; journalctl -u %s", unit_names[p->unit],
			   unit_names[p->unit]);
	else
		row_remedy(row,
			   "run deploy/install again, see systemctl cat %s for drop-ins that "
			   "weaken it",
			   unit_names[p->unit]);
}

/* A socket that nobody but the owner can connect to. */
static void check_socket(const struct doctor_context *ctx, const struct install *install,
			 const char *path, struct doctor_row *row)
{
	char uid[24];
	struct stat st;
	int r = path[0] ? ctx->host->lstat(ctx->host->data, path, &st) : -EINVAL;

	row_remedy(row, "systemctl restart banger-helper banger-server; then look again");
	if (r < 0) {
		row_set(row, DOCTOR_FAIL, "%s can't be looked at (errno %d)",
			path[0] ? path : "the path is not in the install record", -r);
		return;
	}
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned int)st.st_uid);
	if (!S_ISSOCK(st.st_mode))
		row_set(row, DOCTOR_FAIL, "%s is not a socket", path);
	else if ((st.st_mode & 07777) != 0600)
		row_set(row, DOCTOR_FAIL, "%s: mode %04o, should be 0600", path,
			(unsigned int)(st.st_mode & 07777));
	else if (!streq(uid, install->owner_uid))
		row_set(row, DOCTOR_FAIL, "%s belongs to uid %s, should be %s (%s)", path, uid,
			install->owner_uid, install->owner);
	else {
		row_set(row, DOCTOR_PASS, "%s: mode 0600, uid %s", path, uid);
		row->remedy[0] = '\0';
	}
}

/* The rules that launch enforces, shown early. */
static void check_firecracker_file(const struct doctor_context *ctx, const struct install *install,
				   struct doctor_row *row)
{
	const char *path = install->firecracker;
	const char *wrong;
	struct stat st;
	int r;

	if (!path[0]) {
		row_set(row, DOCTOR_SKIP, "no Firecracker in the install record");
		return;
	}
	r = ctx->host->lstat(ctx->host->data, path, &st);
	if (r < 0) {
		row_set(row, DOCTOR_FAIL, "%s can't be looked at (errno %d)", path, -r);
		row_remedy(row, "install it there, owned by root with mode 0755");
		return;
	}
	wrong = helper_binary_problem(&st);
	if (!wrong) {
		row_set(row, DOCTOR_PASS, "%s: regular file, owned by root, mode %04o", path,
			(unsigned int)(st.st_mode & 07777));
		return;
	}
	row_set(row, DOCTOR_FAIL, "%s %s", path, wrong);
	row_remedy(row, "install -o root -g root -m 0755 <firecracker> %s", path);
}

/* All properties of one unit in one call; NULL when systemctl can't tell. The caller frees. */
static char *show_unit(const struct doctor_context *ctx, enum unit unit)
{
	const char *argv[4 + 2 * ARRAY_SIZE(promises)] = { "systemctl", "show" };
	size_t n = 2;
	char *out = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
		if (promises[i].unit != unit)
			continue;
		argv[n++] = "-p";
		argv[n++] = promises[i].property;
	}
	argv[n++] = unit_names[unit];
	argv[n] = NULL;
	if (ctx->host->run(ctx->host->data, argv, &out) != 0) {
		free(out);
		return NULL;
	}
	return out;
}

void doctor_security(const struct doctor_context *ctx, struct doctor_report *report)
{
	const char *record = ctx->install_record ? ctx->install_record : HELPER_INSTALL_RECORD;
	autofree char *text = NULL;
	autofree char *shown_helper = NULL;
	autofree char *shown_server = NULL;
	struct install install = { 0 };
	struct doctor_row *row;

	if (ctx->host->read(ctx->host->data, record, &text) < 0) {
		row = report_add(report, "system install", "security");
		row_set(row, DOCTOR_WARN,
			"no install record at %s: what a system install promises does not hold "
			"here",
			record);
		row_remedy(row, "see \"Running outside the system install\" in docs/privileges.md");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(install_fields); i++)
		(void)find_value(text, install_fields[i].key,
				 (char *)&install + install_fields[i].offset, VALUE_MAX);
	shown_helper = show_unit(ctx, UNIT_HELPER);
	shown_server = show_unit(ctx, UNIT_SERVER);
	for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
		row = report_add(report, promises[i].row, "security");
		check_promise(&promises[i], &install,
			      promises[i].unit == UNIT_HELPER ? shown_helper : shown_server, row);
	}
	check_socket(ctx, &install, install.helper_socket,
		     report_add(report, "helper socket", "security"));
	check_socket(ctx, &install, install.server_socket,
		     report_add(report, "server socket", "security"));
	check_firecracker_file(ctx, &install, report_add(report, "firecracker binary", "security"));
}
