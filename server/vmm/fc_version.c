/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_version.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/vmm/fc_install_hint.h"

/* A larger number in a version is a mistake. */
enum { NUMBER_MAX = 99999 };

/* Decimal digits without sign or leading zero; NULL when there is no number. */
static const char *number(const char *p, unsigned *ret_value)
{
	unsigned value = 0;
	const char *start = p;

	for (; isdigit((unsigned char)*p); p++) {
		value = value * 10 + (unsigned)(*p - '0');
		if (value > NUMBER_MAX)
			return NULL;
	}
	if (p == start || (*start == '0' && p - start > 1))
		return NULL;
	*ret_value = value;
	return p;
}

static bool suffix_char(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-';
}

/* Parses a version and returns what follows it; NULL when there is none. */
static const char *parse(const char *p, struct fc_version *v)
{
	size_t n = 0;

	if (*p == 'v')
		p++;
	p = number(p, &v->major);
	if (p && *p == '.')
		p = number(p + 1, &v->minor);
	else
		return NULL;
	if (p && *p == '.')
		p = number(p + 1, &v->patch);
	else
		return NULL;
	if (!p || *p != '-')
		return p;
	for (p++; suffix_char(*p); p++) {
		if (n + 1 >= sizeof(v->suffix))
			return NULL;
		v->suffix[n++] = *p;
	}
	v->suffix[n] = '\0';
	return n > 0 ? p : NULL;
}

int fc_version_parse(const char *text, struct fc_version *ret_version)
{
	struct fc_version v = { 0 };
	const char *rest = parse(text, &v);

	if (!rest || *rest)
		return -EINVAL;
	*ret_version = v;
	return 0;
}

int fc_version_from_output(const char *output, struct fc_version *ret_version)
{
	static const char prefix[] = "Firecracker v";

	for (const char *line = output; line && *line;) {
		if (str_has_prefix(line, prefix)) {
			struct fc_version v = { 0 };
			const char *rest = parse(line + sizeof(prefix) - 2, &v);

			if (!rest || !(*rest == '\0' || *rest == '\n' || *rest == '\r'))
				return -EINVAL;
			*ret_version = v;
			return 0;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return -EINVAL;
}

static int compare_number(unsigned a, unsigned b)
{
	return (a > b) - (a < b);
}

static bool all_digits(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
	}
	return len > 0;
}

/* One dot-separated part of two suffixes: numbers by value and before words. */
static int compare_part(const char *a, size_t a_len, const char *b, size_t b_len)
{
	bool a_number = all_digits(a, a_len);
	bool b_number = all_digits(b, b_len);
	int r;

	if (a_number != b_number)
		return a_number ? -1 : 1;
	if (a_number && a_len != b_len)
		return a_len < b_len ? -1 : 1;
	r = strncmp(a, b, a_len < b_len ? a_len : b_len);
	return r != 0 ? r : (a_len > b_len) - (a_len < b_len);
}

static int compare_suffix(const char *a, const char *b)
{
	if (!*a || !*b)
		return (*b != '\0') - (*a != '\0');
	while (*a && *b) {
		size_t a_len = strcspn(a, ".");
		size_t b_len = strcspn(b, ".");
		int r = compare_part(a, a_len, b, b_len);

		if (r != 0)
			return r;
		a += a_len + (a[a_len] == '.');
		b += b_len + (b[b_len] == '.');
	}
	return (*a != '\0') - (*b != '\0');
}

int fc_version_compare(const struct fc_version *a, const struct fc_version *b)
{
	int r = compare_number(a->major, b->major);

	if (r == 0)
		r = compare_number(a->minor, b->minor);
	if (r == 0)
		r = compare_number(a->patch, b->patch);
	return r != 0 ? r : compare_suffix(a->suffix, b->suffix);
}

bool fc_version_has(const struct fc_version *v, unsigned major, unsigned minor, unsigned patch)
{
	struct fc_version release = { .major = v->major, .minor = v->minor, .patch = v->patch };
	struct fc_version wanted = { .major = major, .minor = minor, .patch = patch };

	return fc_version_compare(&release, &wanted) >= 0;
}

char *fc_version_format(const struct fc_version *v, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%u.%u.%u%s%s", v->major, v->minor, v->patch,
		       *v->suffix ? "-" : "", v->suffix);
	return buf;
}

/* Where a version lies in the window; fills outcome, detail and remedy. */
static void place(const struct fc_version *v, const char *path, const char *hint,
		  struct fc_verdict *out)
{
	char is[24];
	char min[24];
	char tested[24];
	const char *where = "within tested range";

	(void)fc_version_format(v, is, sizeof(is));
	(void)fc_version_format(&FC_MIN_SUPPORTED, min, sizeof(min));
	(void)fc_version_format(&FC_KNOWN_TESTED, tested, sizeof(tested));
	out->outcome = FC_PASS;
	if (fc_version_compare(v, &FC_MIN_SUPPORTED) < 0) {
		out->outcome = FC_TOO_OLD;
		where = "below the minimum, not used";
		(void)snprintf(out->remedy, sizeof(out->remedy), "upgrade: %s", hint);
	} else if (fc_version_compare(v, &FC_KNOWN_TESTED) > 0) {
		out->outcome = FC_WARN;
		where = "newer than tested, usually works";
		(void)snprintf(out->remedy, sizeof(out->remedy),
			       "if VMs misbehave, try Firecracker v%s", tested);
	}
	(void)snprintf(out->detail, sizeof(out->detail), "v%s at %.96s (%s; min v%s, tested v%s)",
		       is, path, where, min, tested);
}

void fc_version_judge(const char *path, const char *output, const char *os_release,
		      struct fc_verdict *ret_verdict)
{
	const char *hint = fc_install_hint(os_release);
	struct fc_verdict verdict = { .outcome = FC_MISSING };
	struct fc_version version = { 0 };

	if (!path) {
		(void)snprintf(verdict.detail, sizeof(verdict.detail),
			       "firecracker is not installed");
		(void)snprintf(verdict.remedy, sizeof(verdict.remedy), "%s", hint);
	} else if (!output || fc_version_from_output(output, &version) < 0) {
		verdict.outcome = FC_UNREADABLE;
		(void)snprintf(verdict.detail, sizeof(verdict.detail),
			       "%.200s does not tell its version", path);
		(void)snprintf(verdict.remedy, sizeof(verdict.remedy), "reinstall: %s", hint);
	} else {
		place(&version, path, hint, &verdict);
	}
	*ret_verdict = verdict;
}
