/* SPDX-License-Identifier: Apache-2.0 */
/* What the start of a VM begins with, besides its image: a template, a snapshot, the memory that it
 * was suspended with, or nothing. */
#pragma once

#include "server/vm/made.h"
#include "server/vm/template.h"
#include "server/vm/vm_internal.h"

/* Only a template and a snapshot bring a disk. */
enum source_kind { SOURCE_NONE, SOURCE_TEMPLATE, SOURCE_SNAPSHOT, SOURCE_SUSPENDED };

struct source {
	enum source_kind kind;
	char id[TEMPLATE_KEY_LEN + 1]; /* template key or snapshot id */
	int fd;                        /* the folder; -1: none */
	bool with_memory;              /* restored, not booted */
	struct made made;
	bool verified; /* before, by this server */
};

#define SOURCE_INIT ((struct source){ .fd = -1 })

/* On the loop's thread. source_done() in any case. */
int source_choose(struct vm *vm, const struct verb_job *job, struct source *ret_source,
		  struct error *err) MUST_USE;
/*
 * Worker. Whole at its first use since the server's start; after that what is small and read anew
 * each time. Without its template a VM that does not insist on it boots: the source is none then.
 */
int source_check(struct op *op, const struct verb_job *job, struct source *source,
		 struct error *err) MUST_USE;
/* Worker. */
int source_copy_disk(const struct source *source, const char *path, struct error *err) MUST_USE;
void source_done(struct source *source);
