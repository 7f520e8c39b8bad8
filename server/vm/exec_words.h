/* SPDX-License-Identifier: Apache-2.0 */
/* What a command gets from the image that its VM was made of. */
#pragma once

#include "server/vm/vm.h"

/* Owns what it fills in. All zero at first. */
struct exec_words {
	json_t *config; /* of the image */
	json_t *argv;
	char *cwd;
	json_t *env;
};

void exec_words_done(struct exec_words *words);

/*
 * Fills in what `spec` leaves open: argv (the image's entrypoint and command), env (the image's,
 * under the caller's own), cwd and user. `words` must live until the command was started.
 * ERR_INVALID when neither the caller nor the image names a command. Loop thread.
 */
int vm_exec_words(struct vm *vm, struct guest_exec_spec *spec, struct exec_words *words,
		  struct error *err) MUST_USE;
