/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/targets.h"

#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "lib/base/cleanup.h"

/* What a target is called in addresses: the id of the VM that has this id or name, else the word
 * itself, so that the server says what is wrong with it. */
static const char *resolve(const json_t *list, const char *target)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (streq(json_str(item, "name"), target) || streq(json_str(item, "id"), target))
			return *json_str(item, "id") ? json_str(item, "id")
						     : json_str(item, "name");
	}
	return target;
}

static bool seen_before(const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (streq(keys[i], keys[n]))
			return true;
	}
	return false;
}

static int report(struct cli *cli, const char *target, const struct client_reply *reply,
		  const struct error *err, json_t *all)
{
	const char *state = json_str(reply->json, "state");

	if (err->code != ERR_NONE)
		return cli_fail(cli, err);
	if (reply->status >= 400)
		return cli_fail_reply(cli, reply);
	/* An operation that has ended has a kind; a VM has none. */
	if (*json_str(reply->json, "kind") && !streq(state, "succeeded")) {
		const json_t *problem = json_object_get(reply->json, "error");

		if (problem)
			cli_show_problem(cli, problem);
		else
			cli_say(cli, ERR_CANCELLED, "%s: %s", target, state);
		return EXIT_FAILED;
	}
	if (cli->json && reply->json)
		(void)json_array_append(all, reply->json);
	else if (!cli->json)
		(void)printf("%s\n", target);
	return 0;
}

int targets_run(struct cli *cli, const struct target_verb *verb, const char *const *targets,
		size_t n_targets)
{
	struct client_request requests[ARGS_MAX] = { 0 };
	const char *keys[ARGS_MAX], *names[ARGS_MAX];
	autofree struct client_reply *replies = calloc(n_targets, sizeof(*replies));
	autofree struct error *errs = calloc(n_targets, sizeof(*errs));
	json_auto_t *list = NULL, *all = json_array();
	char *paths[ARGS_MAX] = { 0 };
	size_t n = 0;
	int status = 0;

	/* Only VMs have two names that could mean one thing. */
	if (n_targets > 1 && streq(verb->list, "/vms")) {
		list = cli_list(cli, verb->list, "", &status);
		if (!list)
			return status;
	}
	for (size_t i = 0; i < n_targets; i++) {
		autofree char *escaped = NULL;

		names[n] = targets[i];
		keys[n] = resolve(list, targets[i]);
		if (seen_before(keys, n))
			continue;
		escaped = client_escape(keys[n]);
		if (!escaped ||
		    asprintf(&paths[n], "%s/%s%s", verb->list, escaped, verb->suffix) < 0)
			break;
		requests[n] = (struct client_request){ .method = verb->method, .path = paths[n] };
		requests[n].finish = verb->operation;
		n++;
	}
	if (replies && errs && all)
		operation_run_all(cli, requests, n, verb->doing, replies, errs);
	for (size_t i = 0; replies && errs && i < n; i++) {
		int one = report(cli, names[i], &replies[i], &errs[i], all);

		status = one > status ? one : status;
		client_reply_done(&replies[i]);
	}
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	if (cli->json && print_json(all) != 0)
		status = EXIT_FAILED;
	return status;
}
