/* SPDX-License-Identifier: Apache-2.0 */
/* The helper's readers of foreign text: cgroup files, command lines, paths, names of signals. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define UNIT "/system.slice/banger-helper.service"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = malloc(size + 1);
	const char *sock;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	/* Proof has to contain the unit's whole path. */
	if (cgroup_below(text, UNIT))
		assert(strstr(text, ":" UNIT));
	assert(!cgroup_below(text, ""));
	sock = api_sock_of(text, size);
	assert(!sock || (sock > text && sock <= text + size));
	if (path_below(text, "/run/banger")) {
		assert(str_has_prefix(text, "/run/banger/") && !strstr(text, "/../") &&
		       !strstr(text, "//"));
		assert(text[strlen(text) - 1] != '/');
	}
	assert(signal_number(text, size) >= 0);
	if (size >= HELPER_ID_LEN && vm_id_ok(text))
		assert(!memchr(text, '/', HELPER_ID_LEN) && !memchr(text, '.', HELPER_ID_LEN));
	return 0;
}
