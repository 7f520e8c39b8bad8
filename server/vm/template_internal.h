/* SPDX-License-Identifier: Apache-2.0 */
/* What template.c and template_build.c share. */
#pragma once

#include "server/vm/template.h"
#include "server/vm/vm_internal.h"

struct build;

struct templates {
	struct templates_config c;
	char *dir; /* <state>/templates */
	int dir_fd;
	char agent_digest[72];
	struct made here;
	struct template **list;
	size_t n;
	struct standbys *standbys;
	struct build *builds; /* queued and under way: one at a time, as a boot costs a CPU for
				 seconds */
};

/* Copies it into the list. */
int template_add(struct templates *templates, const struct template *one,
		 struct error *err) MUST_USE;
/* Worker: writes manifest.json durably. */
int template_write_manifest(int dir_fd, const struct template *one) MUST_USE;
/* Deletes the least recently used ones beyond max_bytes, `keep` excepted. */
void template_collect(struct templates *templates, const char *keep);
