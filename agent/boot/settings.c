/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/id.h"
#include "lib/base/log.h"
#include "lib/link/protocol.h"

void boot_problem(struct boot_report *report, const char *fmt, ...)
{
	char text[sizeof(report->problem)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s", text);
	if (!report->degraded)
		memcpy(report->problem, text, sizeof(text));
	report->degraded = true;
}

/* Copies the value of a word that has not been given before. */
static bool take(const char *value, size_t len, char *to, size_t size)
{
	if (len >= size)
		return false;
	if (to[0] == '\0') {
		memcpy(to, value, len);
		to[len] = '\0';
	}
	return true;
}

struct choice {
	const char *value;
	bool set;
};

static bool choose(const struct choice choices[2], const char *value, size_t len, bool *ret)
{
	for (int i = 0; i < 2; i++) {
		if (strlen(choices[i].value) == len && memcmp(choices[i].value, value, len) == 0) {
			*ret = choices[i].set;
			return true;
		}
	}
	return false;
}

static bool parse_word(const char *word, size_t len, struct boot_settings *settings)
{
	static const struct choice inits[] = { { "agent", false }, { "system", true } };
	static const struct choice works[] = { { "disk", false }, { "tmpfs", true } };
	const char *value = memchr(word, '=', len);
	size_t value_len;

	if (!value)
		return false;
	value++;
	value_len = len - (size_t)(value - word);
	if (str_has_prefix(word, LINK_WORD_HOSTNAME))
		return take(value, value_len, settings->hostname, sizeof(settings->hostname)) &&
		       dns_label_valid(settings->hostname);
	if (str_has_prefix(word, LINK_WORD_NET))
		return take(value, value_len, settings->net, sizeof(settings->net));
	if (str_has_prefix(word, LINK_WORD_DISKS))
		return take(value, value_len, settings->disks, sizeof(settings->disks));
	if (str_has_prefix(word, LINK_WORD_INIT))
		return choose(inits, value, value_len, &settings->system_init);
	if (str_has_prefix(word, LINK_WORD_WORK))
		return choose(works, value, value_len, &settings->work_tmpfs);
	return false;
}

void boot_disk_serial(const struct boot_settings *settings, const char *name, char *buf,
		      size_t size)
{
	size_t name_len = strlen(name);

	(void)snprintf(buf, size, "%s", name);
	for (const char *p = settings->disks; *p; p += strspn(p, ",")) {
		size_t len = strcspn(p, ",");

		if (len > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == ':')
			(void)snprintf(buf, size, "%.*s", (int)(len - name_len - 1),
				       p + name_len + 1);
		p += len;
	}
}

void boot_parse_cmdline(const char *cmdline, struct boot_settings *ret_settings,
			struct boot_report *report)
{
	*ret_settings = (struct boot_settings){ .system_init = false };
	for (const char *p = cmdline + strspn(cmdline, " \n"); *p; p += strspn(p, " \n")) {
		size_t len = strcspn(p, " \n");

		if (str_has_prefix(p, "banger.") && !parse_word(p, len, ret_settings))
			boot_problem(
				report,
				"the kernel's command line has a word that is not understood: %.*s",
				(int)(len < 100 ? len : 100), p);
		p += len;
	}
	if (!dns_label_valid(ret_settings->hostname))
		ret_settings->hostname[0] = '\0';
}
