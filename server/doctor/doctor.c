/* SPDX-License-Identifier: Apache-2.0 */
#include "server/doctor/doctor.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "server/doctor/check.h"

enum { ROOM_FAIL_MIB = 1024, ROOM_WARN_MIB = 8 * 1024 };

static const char *const status_names[] = {
	[DOCTOR_PASS] = "pass",
	[DOCTOR_WARN] = "warn",
	[DOCTOR_FAIL] = "fail",
	[DOCTOR_SKIP] = "skip",
};
static_assert(ARRAY_SIZE(status_names) == DOCTOR_STATUS_MAX_, "a name for each status");

const char *doctor_status_name(enum doctor_status status)
{
	return status_names[status];
}

void row_set(struct doctor_row *row, enum doctor_status status, const char *fmt, ...)
{
	va_list ap;

	row->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(row->detail, sizeof(row->detail), fmt, ap);
	va_end(ap);
}

void row_remedy(struct doctor_row *row, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(row->remedy, sizeof(row->remedy), fmt, ap);
	va_end(ap);
}

struct doctor_row *report_add(struct doctor_report *report, const char *name, const char *group)
{
	struct doctor_row *row;

	assert(report->n_rows < DOCTOR_ROWS_MAX);
	row = &report->rows[report->n_rows++];
	*row = (struct doctor_row){ .name = name, .group = group, .status = DOCTOR_FAIL };
	return row;
}

/* --- store --- */

static void check_store(const struct doctor_context *ctx, struct doctor_row *row)
{
	char why[DOCTOR_DB_ERROR_MAX] = "";
	struct stat st;
	int r = ctx->host->lstat(ctx->host->data, ctx->db_path, &st);

	if (r == -ENOENT) {
		row_set(row, DOCTOR_PASS, "%s: created on first start", ctx->db_path);
		return;
	}
	if (r == 0)
		r = ctx->host->check_db(ctx->host->data, ctx->db_path, why, sizeof(why));
	if (r < 0)
		row_set(row, DOCTOR_FAIL, "%s can't be read: %s (errno %d)", ctx->db_path, why, -r);
	else
		row_set(row, DOCTOR_PASS, "%s is readable", ctx->db_path);
}

/* The nearest parent that exists: the state folder itself is made on first start. */
static int room_of(const struct doctor_context *ctx, uint64_t *ret_bytes)
{
	char path[4096];
	int r;

	(void)snprintf(path, sizeof(path), "%s", ctx->state_dir);
	for (;;) {
		char *slash = strrchr(path, '/');

		r = ctx->host->room(ctx->host->data, path[0] ? path : "/", ret_bytes);
		if (r != -ENOENT || !slash)
			return r;
		*slash = '\0';
	}
}

static void check_room(const struct doctor_context *ctx, struct doctor_row *row)
{
	uint64_t bytes = 0;
	uint64_t mib;
	int r = room_of(ctx, &bytes);

	if (r < 0) {
		row_set(row, DOCTOR_FAIL, "%s: free space is not known (errno %d)", ctx->state_dir,
			-r);
		return;
	}
	mib = bytes >> 20;
	row_set(row,
		mib < ROOM_FAIL_MIB   ? DOCTOR_FAIL
		: mib < ROOM_WARN_MIB ? DOCTOR_WARN
				      : DOCTOR_PASS,
		"%" PRIu64 " MiB free for %s", mib, ctx->state_dir);
}

/* --- host and VMM --- */

/* Hardware virtualisation as the processor says: a word of the flags line of /proc/cpuinfo. */
static bool cpu_has_virt(const char *cpuinfo)
{
	const char *flags = strstr(cpuinfo, "\nflags");
	const char *end = flags ? strchr(flags + 1, '\n') : NULL;

	for (const char *p = flags; p && end && p < end; p++) {
		if (*p != ' ' && *p != '\t')
			continue;
		if ((strncmp(p + 1, "vmx", 3) == 0 || strncmp(p + 1, "svm", 3) == 0) &&
		    (p[4] == ' ' || p[4] == '\n'))
			return true;
	}
	return false;
}

static void check_kvm(const struct doctor_context *ctx, struct doctor_row *row)
{
	const struct doctor_host *host = ctx->host;
	autofree char *cpuinfo = NULL;
	int r = host->may_write(host->data, "/dev/kvm");

	if (r == -ENOENT) {
		row_set(row, DOCTOR_WARN,
			"/dev/kvm is not there: guests run under software emulation");
		row_remedy(row, "enable virtualisation in the firmware and load the module: "
				"modprobe kvm_intel (or kvm_amd)");
	} else if (r < 0) {
		row_set(row, DOCTOR_WARN,
			"/dev/kvm can't be opened by this user: guests run under software "
			"emulation");
		row_remedy(row, "usermod -aG kvm <user>, then log in again");
	} else if (host->read(host->data, "/proc/cpuinfo", &cpuinfo) == 0 &&
		   !cpu_has_virt(cpuinfo)) {
		row_set(row, DOCTOR_WARN,
			"/dev/kvm opens, but the processor has neither vmx nor svm: guests run "
			"under software emulation");
		row_remedy(row, "on a virtual machine, ask for nested virtualisation; else nothing "
				"is to do");
	} else {
		row_set(row, DOCTOR_PASS, "/dev/kvm is usable");
	}
}

static void check_vmm(const struct doctor_context *ctx, struct doctor_row *row)
{
	const struct vmm_driver *driver;
	struct vmm_probe probe = { 0 };
	struct error err = ERROR_INIT;
	char why[256] = "";

	if (!ctx->host->choose) {
		row_set(row, DOCTOR_SKIP, "not looked at");
		return;
	}
	driver = ctx->host->choose(ctx->vmm, &probe, why, sizeof(why), &err);
	if (!driver) {
		row_set(row, DOCTOR_FAIL, "no usable VMM (vmm = %s): %s", ctx->vmm, err.msg);
		if (probe.remedy[0])
			row_remedy(row, "%s", probe.remedy);
		return;
	}
	row_set(row, DOCTOR_PASS, "%s %s at %s: %s", driver->name, probe.version, probe.path, why);
}

/*
 * The version of Firecracker. Where `auto` has another VMM that works, a missing Firecracker is
 * only worth a warning.
 */
static void check_firecracker(const struct doctor_context *ctx, struct doctor_row *row)
{
	const struct vmm_driver *driver = NULL;
	struct vmm_probe probe = { 0 };
	struct vmm_probe chosen = { 0 };
	struct error err = ERROR_INIT;
	char why[256];

	if (!ctx->host->probe_firecracker) {
		row_set(row, DOCTOR_SKIP, "not looked at");
		return;
	}
	ctx->host->probe_firecracker(&probe);
	if (ctx->host->choose && streq(ctx->vmm, "auto"))
		driver = ctx->host->choose(ctx->vmm, &chosen, why, sizeof(why), &err);
	if (probe.usable && !probe.remedy[0])
		row_set(row, DOCTOR_PASS, "%s", probe.detail);
	else if (probe.usable ||
		 (!probe.unsupported && driver && !streq(driver->name, "firecracker")))
		row_set(row, DOCTOR_WARN, "%s", probe.detail);
	else
		row_set(row, DOCTOR_FAIL, "%s", probe.detail);
	row_remedy(row, "%s", probe.remedy);
}

static void check_count(struct doctor_row *row, int64_t n, const char *what)
{
	if (n < 0)
		row_set(row, DOCTOR_SKIP, "the store could not be asked");
	else if (n == 0)
		row_set(row, DOCTOR_WARN, "no %s in the store yet", what);
	else
		row_set(row, DOCTOR_PASS, "%" PRId64 " in the store", n);
}

static void check_kernel(const struct doctor_context *ctx, struct doctor_row *row)
{
	check_count(row, ctx->n_kernels, "kernel");
}

static void check_image(const struct doctor_context *ctx, struct doctor_row *row)
{
	check_count(row, ctx->n_images, "image");
}

static void check_work_disk(const struct doctor_context *ctx, struct doctor_row *row)
{
	if (ctx->host->has_program(ctx->host->data, "mke2fs"))
		row_set(row, DOCTOR_PASS, "mke2fs makes the writable disk of each VM");
	else
		row_set(row, DOCTOR_FAIL,
			"mke2fs is not installed: no VM can get its writable disk");
}

static void check_defaults(const struct doctor_context *ctx, struct doctor_row *row)
{
	size_t used = 0;

	row_set(row, DOCTOR_PASS, "built in");
	for (size_t i = 0; i < ctx->n_defaults && used < sizeof(row->detail); i++) {
		const struct doctor_default *d = &ctx->defaults[i];

		used += (size_t)snprintf(row->detail + used, sizeof(row->detail) - used,
					 "%s%s=%s (%s)", i ? ", " : "", d->name, d->value,
					 d->source);
	}
	if (ctx->config_path && used < sizeof(row->detail))
		(void)snprintf(row->detail + strlen(row->detail),
			       sizeof(row->detail) - strlen(row->detail), "; configuration: %s",
			       ctx->config_path);
}

static const struct doctor_check checks[] = {
	{ "store",
	  "store",
	  check_store,
	  "restore it from a backup, or move it away to start anew",
	  { 0 } },
	{ "disk room",
	  "store",
	  check_room,
	  "banger vm prune; banger cache prune",
	  { "/cache/prune", "{}" } },
	{ "kvm", "host", check_kvm, "", { 0 } },
	{ "vmm", "vmm", check_vmm, "apt-get install qemu-system-x86", { 0 } },
	{ "firecracker", "vmm", check_firecracker, "", { 0 } },
	{ "kernel",
	  "images",
	  check_kernel,
	  "banger kernel import debian-cloud",
	  { "/kernels", "{\"import\":\"debian-cloud\"}" } },
	{ "image",
	  "images",
	  check_image,
	  "banger image build mini",
	  { "/images", "{\"build\":\"mini\"}" } },
	{ "work disk", "images", check_work_disk, "apt-get install e2fsprogs", { 0 } },
	{ "vm defaults", "vmm", check_defaults, "", { 0 } },
	{ "helper", "network", check_helper, "systemctl start banger-helper", { 0 } },
	{ "vm dns", "network", check_dns, "", { 0 } },
	{ "nat", "network", check_nat, "", { 0 } },
};

void doctor_check(const struct doctor_context *ctx, struct doctor_report *ret_report)
{
	ret_report->n_rows = 0;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		const struct doctor_check *check = &checks[i];
		struct doctor_row *row = report_add(ret_report, check->name, check->group);

		check->fn(ctx, row);
		if (row->remedy[0] || (row->status != DOCTOR_FAIL && row->status != DOCTOR_WARN))
			continue;
		row_remedy(row, "%s", check->remedy);
		row->fix = check->fix;
	}
	doctor_isolation(ctx, ret_report);
	doctor_security(ctx, ret_report);
}

enum doctor_status doctor_worst(const struct doctor_report *report)
{
	enum doctor_status worst = DOCTOR_PASS;

	for (size_t i = 0; i < report->n_rows; i++) {
		enum doctor_status s = report->rows[i].status;

		if (s != DOCTOR_SKIP && s > worst)
			worst = s;
	}
	return worst;
}

static json_t *row_json(const struct doctor_row *row)
{
	json_t *fix = row->fix.path
			      ? json_pack("{s:s, s:s, s:o}", "method", "POST", "path",
					  row->fix.path, "body", json_loads(row->fix.body, 0, NULL))
			      : NULL;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o*}", "name", row->name, "group", row->group,
			 "status", doctor_status_name(row->status), "detail", row->detail, "remedy",
			 row->remedy, "fix", fix);
}

int doctor_run(const struct doctor_context *ctx, json_t **ret)
{
	autofree struct doctor_report *report = calloc(1, sizeof(*report));
	json_auto_t *list = json_array();
	json_t *top;

	if (!report || !list)
		return -ENOMEM;
	doctor_check(ctx, report);
	for (size_t i = 0; i < report->n_rows; i++) {
		json_t *item = row_json(&report->rows[i]);

		if (!item || json_array_append_new(list, item) < 0)
			return -ENOMEM;
	}
	top = json_pack("{s:s, s:O}", "status", doctor_status_name(doctor_worst(report)), "checks",
			list);
	if (!top)
		return -ENOMEM;
	*ret = top;
	return 0;
}
