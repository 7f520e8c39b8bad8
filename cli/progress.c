/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "lib/base/cleanup.h"

enum {
	STEP_WAIT_S = 1,   /* how often progress is drawn */
	LONG_WAIT_S = 300, /* nobody is looking */
};

void outcome_done(struct outcome *outcome)
{
	json_decref(outcome->result);
	outcome->result = NULL;
}

char *progress_text(const char *what, const json_t *operation, char *buf, size_t size)
{
	const json_t *stages = json_object_get(operation, "stages");
	const json_t *progress = json_object_get(operation, "progress");
	const json_t *stage = json_array_get(stages, json_array_size(stages) - 1);
	int64_t done = json_int(progress, "done"), total = json_int(progress, "total");
	const char *name = stage ? json_str(stage, "name") : json_str(operation, "state");
	char amount[96] = "", a[32], b[32];
	char clean[64];

	if (progress && streq(json_str(progress, "unit"), "bytes")) {
		(void)format_bytes((uint64_t)done, a);
		if (total > 0)
			(void)snprintf(amount, sizeof(amount), ", %s of %s", a,
				       format_bytes((uint64_t)total, b));
		else
			(void)snprintf(amount, sizeof(amount), ", %s", a);
	} else if (progress && total > 0) {
		(void)snprintf(amount, sizeof(amount), ", %lld of %lld", (long long)done,
			       (long long)total);
	}
	(void)snprintf(buf, size, "%s: %s%s", what, text_harmless(name, clean, sizeof(clean)),
		       amount);
	return buf;
}

static void draw(const struct cli *cli, const char *text)
{
	if (cli->progress)
		(void)fprintf(stderr, "\r\033[K%s", text);
}

static void cancel(struct cli *cli, const char *id)
{
	struct client_reply reply = { 0 };
	struct error ignored = ERROR_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "/operations/%s", id);
	if (client_do(cli->client, &(struct client_request){ .method = "DELETE", .path = path },
		      &reply, &ignored) == 0)
		client_reply_done(&reply);
}

static bool under_way(const json_t *operation)
{
	const char *state = json_str(operation, "state");

	return streq(state, "queued") || streq(state, "running");
}

/* Waits for the operation in *reply, which is replaced by its last state. */
static bool follow(struct cli *cli, const char *what, struct client_reply *reply, int *ret_status)
{
	char id[32], path[128], line[256];

	(void)snprintf(id, sizeof(id), "%s", json_str(reply->json, "id"));
	(void)snprintf(path, sizeof(path), "/operations/%s", id);
	while (under_way(reply->json)) {
		struct client_request request = { .method = "GET", .path = path };
		struct error err = ERROR_INIT;
		int r = 0;

		draw(cli, progress_text(what, reply->json, line, sizeof(line)));
		client_reply_done(reply);
		request.wait_s = cli->progress ? STEP_WAIT_S : LONG_WAIT_S;
		if (client_signal(cli->client))
			r = error_set(&err, ERR_CANCELLED, "interrupted");
		else
			r = client_do(cli->client, &request, reply, &err);
		if (r < 0) {
			draw(cli, "");
			if (client_signal(cli->client))
				cancel(cli, id);
			*ret_status = cli_fail(cli, &err);
			return false;
		}
		if (reply->status >= 400) {
			draw(cli, "");
			*ret_status = cli_fail_reply(cli, reply);
			return false;
		}
	}
	draw(cli, "");
	return true;
}

static void show_unsuccessful(const struct cli *cli, const json_t *operation)
{
	const json_t *problem = json_object_get(operation, "error");
	char state[32];

	if (problem)
		cli_show_problem(cli, problem);
	else
		cli_say(cli, ERR_CANCELLED, "the operation was %s",
			text_harmless(json_str(operation, "state"), state, sizeof(state)));
}

bool operation_begin(struct cli *cli, const struct client_request *request,
		     struct client_reply *ret_reply, struct outcome *ret_outcome)
{
	struct client_request first = *request;

	*ret_outcome = (struct outcome){ .status = 0 };
	first.finish = true;
	if (!cli_request(cli, &first, ret_reply, &ret_outcome->status))
		return false;
	memcpy(ret_outcome->location, ret_reply->location, sizeof(ret_reply->location));
	return true;
}

bool operation_end(struct cli *cli, const struct client_request *request, const char *what,
		   struct client_reply *reply, struct outcome *outcome)
{
	struct client_reply resource CLEANUP(client_reply_done) = { 0 };
	struct client_request get = { .method = "GET", .path = outcome->location };

	if (reply->status != 202) {
		outcome->result = json_incref(reply->json);
		return true;
	}
	if (!follow(cli, what, reply, &outcome->status))
		return false;
	if (!streq(json_str(reply->json, "state"), "succeeded")) {
		show_unsuccessful(cli, reply->json);
		outcome->status = EXIT_FAILED;
		return false;
	}
	if (get.path[0] != '/')
		outcome->result = json_incref(json_object_get(reply->json, "result"));
	if (streq(request->method, "DELETE") || get.path[0] != '/')
		return true;
	if (!cli_request(cli, &get, &resource, &outcome->status))
		return false;
	outcome->result = json_incref(resource.json);
	return true;
}

bool operation_run(struct cli *cli, const struct client_request *request, const char *what,
		   struct outcome *ret_outcome)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };

	return operation_begin(cli, request, &reply, ret_outcome) &&
	       operation_end(cli, request, what, &reply, ret_outcome);
}

/* The requests that are still under way, for the next round; returns how many. */
static size_t next_round(struct client_reply *replies, const struct error *errs, size_t n,
			 size_t *ret_index, struct client_request *ret_requests,
			 char (*ret_paths)[64])
{
	size_t n_open = 0;

	for (size_t i = 0; i < n; i++) {
		if (errs[i].code != ERR_NONE || replies[i].status >= 400 ||
		    !under_way(replies[i].json))
			continue;
		(void)snprintf(ret_paths[n_open], sizeof(ret_paths[n_open]), "/operations/%s",
			       json_str(replies[i].json, "id"));
		ret_requests[n_open] = (struct client_request){ .method = "GET",
								.path = ret_paths[n_open],
								.wait_s = STEP_WAIT_S };
		ret_index[n_open++] = i;
	}
	return n_open;
}

void operation_run_all(struct cli *cli, const struct client_request *requests, size_t n,
		       const char *what, struct client_reply *replies, struct error *errs)
{
	autofree size_t *index = calloc(n, sizeof(*index));
	autofree struct client_request *round = calloc(n, sizeof(*round));
	autofree char(*paths)[64] = calloc(n, sizeof(*paths));
	autofree struct client_reply *news = calloc(n, sizeof(*news));
	autofree struct error *news_errs = calloc(n, sizeof(*news_errs));
	size_t n_open;
	char line[128];

	client_do_all(cli->client, requests, replies, errs, n);
	if (!index || !round || !paths || !news || !news_errs)
		return;
	while ((n_open = next_round(replies, errs, n, index, round, paths)) > 0) {
		(void)snprintf(line, sizeof(line), "%s: %zu of %zu done", what, n - n_open, n);
		draw(cli, line);
		client_do_all(cli->client, round, news, news_errs, n_open);
		for (size_t i = 0; i < n_open; i++) {
			client_reply_done(&replies[index[i]]);
			replies[index[i]] = news[i];
			errs[index[i]] = news_errs[i];
		}
	}
	draw(cli, "");
}
