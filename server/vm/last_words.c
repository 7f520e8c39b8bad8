/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/last_words.h"

#include <string.h>

/* "reboot: Restarting system" or "reboot: Power down". */
static const char goodbye[] = "reboot: ";
static const char reboot[] = "reboot: Restarting";
static const char panic[] = "Kernel panic - ";
static const char not_syncing[] = "not syncing: ";

static bool last_line_has(const char *log, size_t len, const char *words, size_t words_len)
{
	const char *last;

	while (len > 0 && (log[len - 1] == '\n' || log[len - 1] == '\r'))
		len--;
	last = len > 0 ? memrchr(log, '\n', len) : NULL;
	last = last ? last : log;
	return memmem(last, (size_t)(log + len - last), words, words_len) != NULL;
}

bool last_words_goodbye(const char *log, size_t len)
{
	return last_line_has(log, len, goodbye, sizeof(goodbye) - 1);
}

bool last_words_reboot(const char *log, size_t len)
{
	return last_line_has(log, len, reboot, sizeof(reboot) - 1);
}

bool last_words_panic(const char *log, size_t len, char *ret_why, size_t size)
{
	const char *why = memmem(log, len, panic, sizeof(panic) - 1);
	const char *end = log + len;
	size_t n = 0;

	if (!why || size == 0)
		return false;
	why += sizeof(panic) - 1;
	if ((size_t)(end - why) >= sizeof(not_syncing) - 1 &&
	    memcmp(why, not_syncing, sizeof(not_syncing) - 1) == 0)
		why += sizeof(not_syncing) - 1;
	for (; why < end && *why != '\n' && *why != '\r' && n + 1 < size; why++)
		ret_why[n++] = *why < ' ' || *why > '~' ? '?' : *why;
	ret_why[n] = '\0';
	return true;
}
