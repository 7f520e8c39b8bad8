/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work: follows an operation to its end and shows on standard error, when that is a terminal,
 * which stage it is in and how far. One line, drawn over, taken away at the end.
 */
#pragma once

#include "cli/cli.h"

struct outcome {
	json_t *result;     /* the resource as it is now; owned; NULL when there is none */
	char location[512]; /* address of the resource, also when the work failed; "" when not known
			     */
	int status;         /* exit status when it failed */
};

void outcome_done(struct outcome *outcome);

/*
 * Sends `request` and waits for the end of the work, following the operation of a 202. True when it
 * went well. Else the failure has been shown; an operation that a signal interrupted has been
 * cancelled. `what` begins the progress line: "vm web". The two halves, for a caller that has
 * something to do in between: operation_begin() sends the request and leaves the answer in
 * *ret_reply, the address in *ret_outcome; operation_end() waits.
 */
bool operation_begin(struct cli *cli, const struct client_request *request,
		     struct client_reply *ret_reply, struct outcome *ret_outcome);
bool operation_end(struct cli *cli, const struct client_request *request, const char *what,
		   struct client_reply *reply, struct outcome *outcome);
bool operation_run(struct cli *cli, const struct client_request *request, const char *what,
		   struct outcome *ret_outcome);

/*
 * The same for several requests at once, with one line of progress for all and no output: failed
 * ones have errs[i] or a problem in replies[i] (its status is then 400 or more).
 */
void operation_run_all(struct cli *cli, const struct client_request *requests, size_t n,
		       const char *what, struct client_reply *replies, struct error *errs);

/* The line for an operation, without the terminal's control codes: "vm web: boot 3.1 s, 40 %". */
char *progress_text(const char *what, const json_t *operation, char *buf, size_t size);
