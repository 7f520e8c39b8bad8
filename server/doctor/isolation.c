/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host can do to keep guests that do not trust each other apart: settings of the kernel,
 * read and never changed. None of them keeps VMs from working, so the worst here is a warning.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/doctor/check.h"

enum { KERNEL_MAJOR = 5, KERNEL_MINOR = 10 };

/* A file whose first character says it all. Absent: the host has no such thing. */
struct setting {
	const char *name;
	const char *path;
	const char *good; /* any of these characters */
	const char *when_good;
	const char *when_bad;
	const char *remedy;
	const char *or_path; /* where the first is absent; NULL: nowhere */
};

static const struct setting settings[] = {
	{ "simultaneous multithreading", "/sys/devices/system/cpu/smt/active", "0",
	  "off: guests share no core",
	  "on: guests that share a core may learn of each other through its caches",
	  "echo off >/sys/devices/system/cpu/smt/control, where guests must not trust each other",
	  NULL },
	{ "memory merging (KSM)", "/sys/kernel/mm/ksm/run", "0",
	  "off: no page of one guest is shared with another",
	  "on: a guest can find out what is in another one's memory",
	  "echo 0 >/sys/kernel/mm/ksm/run", NULL },
	{ "nested pages", "/sys/module/kvm_intel/parameters/ept", "Y1",
	  "the processor translates guest addresses itself",
	  "off: guests are slow, and the kernel does more for them",
	  "load kvm_intel with ept=1 or kvm_amd with npt=1, or switch it on in the firmware",
	  "/sys/module/kvm_amd/parameters/npt" },
};

static char *read_fact(const struct doctor_context *ctx, const char *path)
{
	char *text = NULL;

	return ctx->host->read(ctx->host->data, path, &text) < 0 ? NULL : text;
}

static void check_setting(const struct doctor_context *ctx, const struct setting *s,
			  struct doctor_row *row)
{
	autofree char *text = read_fact(ctx, s->path);

	if (!text && s->or_path)
		text = read_fact(ctx, s->or_path);
	if (!text || !text[0]) {
		row_set(row, DOCTOR_SKIP, "this host has no such setting");
	} else if (strchr(s->good, text[0])) {
		row_set(row, DOCTOR_PASS, "%s", s->when_good);
	} else {
		row_set(row, DOCTOR_WARN, "%s", s->when_bad);
		row_remedy(row, "%s", s->remedy);
	}
}

static void check_kernel_version(const struct doctor_context *ctx, struct doctor_row *row)
{
	autofree char *text = read_fact(ctx, "/proc/sys/kernel/osrelease");
	char *end = NULL;
	unsigned long major = text ? strtoul(text, &end, 10) : 0;
	unsigned long minor = end && *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	if (text)
		text[strcspn(text, "\n")] = '\0';
	if (major == 0) {
		row_set(row, DOCTOR_SKIP, "the kernel does not tell its version");
	} else if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR)) {
		row_set(row, DOCTOR_PASS, "Linux %.64s", text);
	} else {
		row_set(row, DOCTOR_WARN,
			"Linux %.64s is older than %d.%d, which all of this was made for", text,
			KERNEL_MAJOR, KERNEL_MINOR);
		row_remedy(row, "upgrade the host's kernel");
	}
}

static void check_swap(const struct doctor_context *ctx, struct doctor_row *row)
{
	autofree char *text = read_fact(ctx, "/proc/swaps");
	const char *line = text ? strchr(text, '\n') : NULL;

	if (!text) {
		row_set(row, DOCTOR_SKIP, "this host has no such setting");
	} else if (!line || !line[1]) {
		row_set(row, DOCTOR_PASS, "none: no guest's memory reaches a disk");
	} else {
		row_set(row, DOCTOR_WARN, "in use: what is in a guest's memory may end up on %.*s",
			(int)strcspn(line + 1, " \t\n"), line + 1);
		row_remedy(row, "swapoff -a, or encrypt it");
	}
}

static void check_vulnerabilities(const struct doctor_context *ctx, struct doctor_row *row)
{
	static const char *const names[] = { "gather_data_sampling",
					     "indirect_target_selection",
					     "l1tf",
					     "mds",
					     "meltdown",
					     "mmio_stale_data",
					     "reg_file_data_sampling",
					     "retbleed",
					     "spec_rstack_overflow",
					     "spec_store_bypass",
					     "spectre_v1",
					     "spectre_v2",
					     "srbds",
					     "tsa",
					     "tsx_async_abort",
					     "vmscape" };
	struct buf open CLEANUP(buf_done) = { .max = sizeof(row->detail) / 2 };
	size_t known = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		autofree char *path = NULL;
		autofree char *text = NULL;

		if (asprintf(&path, "/sys/devices/system/cpu/vulnerabilities/%s", names[i]) < 0) {
			path = NULL;
			continue;
		}
		text = read_fact(ctx, path);
		known += text != NULL;
		if (text && str_has_prefix(text, "Vulnerable"))
			(void)!buf_printf(&open, "%s%s", buf_len(&open) ? ", " : "", names[i]);
	}
	if (known == 0) {
		row_set(row, DOCTOR_SKIP, "the kernel does not tell");
	} else if (buf_len(&open) == 0) {
		row_set(row, DOCTOR_PASS, "none of %zu known ones is open", known);
	} else {
		row_set(row, DOCTOR_WARN, "open: %.*s", (int)buf_len(&open),
			(const char *)buf_bytes(&open));
		row_remedy(row, "install the processor's microcode and a current kernel");
	}
}

static void check_cgroups(const struct doctor_context *ctx, struct doctor_row *row)
{
	autofree char *text = read_fact(ctx, "/proc/self/mountinfo");
	const char *at = text ? strstr(text, " /sys/fs/cgroup ") : NULL;
	const char *kind = at ? strstr(at, " - ") : NULL;

	if (kind && strchr(at + 1, '\n') > kind && str_has_prefix(kind, " - cgroup2 ")) {
		if (!ctx->no_limits) {
			row_set(row, DOCTOR_PASS,
				"version 2, delegated: each VM has limits of memory, processors "
				"and processes");
			return;
		}
		row_set(row, DOCTOR_WARN,
			"version 2, but VMs that the server starts itself get no limits (%s); "
			"those "
			"in the helper's jails do",
			ctx->no_limits);
		row_remedy(row, "run the server as a systemd service with Delegate=cpu memory pids "
				"and DelegateSubgroup=server (systemd 254)");
		return;
	}
	row_set(row, DOCTOR_WARN, "no cgroup version 2 at /sys/fs/cgroup: VMs get no limits");
	row_remedy(row, "boot with systemd.unified_cgroup_hierarchy=1");
}

void doctor_isolation(const struct doctor_context *ctx, struct doctor_report *report)
{
	static const char group[] = "isolation";

	check_kernel_version(ctx, report_add(report, "kernel version", group));
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		check_setting(ctx, &settings[i], report_add(report, settings[i].name, group));
	check_swap(ctx, report_add(report, "swap", group));
	check_vulnerabilities(ctx, report_add(report, "processor vulnerabilities", group));
	check_cgroups(ctx, report_add(report, "cgroups", group));
}
