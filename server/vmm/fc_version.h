/* SPDX-License-Identifier: Apache-2.0 */
/* Which Firecracker may be used: semantic versions and the window that this program supports. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/macro.h"

struct fc_version {
	unsigned major, minor, patch;
	char suffix[16]; /* of a pre-release, without its hyphen: "dev", "rc.1"; else "" */
};

/*
 * The oldest version that is launched. 1.5 brought quick restores (its table of descriptors is
 * sized at the start) and a serial console that is fed only from terminals and pipes; what is older
 * also lacks the /cpu-config and /entropy calls of 1.4. Raising it takes VMs away from people whose
 * distribution is slow, so it is done only for something that we can't do without.
 */
#define FC_MIN_SUPPORTED ((struct fc_version){ 1, 5, 0, "" })

/*
 * The version that the tests were last run against. Raising it is a statement that somebody ran
 * them, on real guests, with the new one. What is newer usually works: requests only ever gain
 * fields, and every field is sent only to versions that know it.
 */
#define FC_KNOWN_TESTED ((struct fc_version){ 1, 14, 1, "" })

/* "1.14.1", "v1.14.1", "1.16.0-dev". 0 or -EINVAL for anything else, a trailing byte included. */
int fc_version_parse(const char *text, struct fc_version *ret_version) MUST_USE;

/*
 * From what `firecracker --version` prints: only the line "Firecracker vX.Y.Z" counts; blank lines
 * and log lines after it do not matter. 0 or -EINVAL.
 */
int fc_version_from_output(const char *output, struct fc_version *ret_version) MUST_USE;

/* Negative, 0 or positive by the rules of semantic versions: a pre-release is before its release.
 */
int fc_version_compare(const struct fc_version *a, const struct fc_version *b);

/* True when `v`'s release is major.minor.patch or later; a pre-release counts as its release. */
bool fc_version_has(const struct fc_version *v, unsigned major, unsigned minor, unsigned patch);

/* "1.14.1-dev"; returns buf. */
char *fc_version_format(const struct fc_version *v, char *buf, size_t size);

enum fc_outcome {
	FC_PASS,       /* in the window */
	FC_WARN,       /* newer than what was tested */
	FC_TOO_OLD,    /* FAIL: is not launched */
	FC_MISSING,    /* FAIL, or WARN where another VMM does the work */
	FC_UNREADABLE, /* FAIL: there, but does not tell its version */
};

struct fc_verdict {
	enum fc_outcome outcome;
	char detail[320]; /* "v1.14.1 at /usr/bin/firecracker (within tested range; min v1.5.0, …)"
			   */
	char remedy[256]; /* "" for FC_PASS */
};

/*
 * Pure. `path` NULL: no binary was found; `output`: of `firecracker --version`, NULL when it could
 * not be run; `os_release`: text of /etc/os-release, NULL when there is none.
 */
void fc_version_judge(const char *path, const char *output, const char *os_release,
		      struct fc_verdict *ret_verdict);
