/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to hold the body of a request against the document: for each body on the command
 * line (operation, JSON) the medians of parsing and of validating it, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/macro.h"
#include "server/http/document.h"
#include "server/http/embedded.h"

enum { ROUNDS = 101, REPEATS = 200 };

/* Of this process alone: what else the machine does costs us little. */
static double cpu_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_size);
	return values[ROUNDS / 2];
}

static const struct operation *find(const struct document *d, const char *id)
{
	for (size_t i = 0; i < d->n_operations; i++)
		if (strcmp(d->operations[i].id, id) == 0)
			return &d->operations[i];
	return NULL;
}

static int measure(const struct operation *op, const char *text)
{
	json_t *body = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	double parse[ROUNDS];
	double check[ROUNDS];
	bool valid = true;

	if (!op || !body) {
		(void)fprintf(stderr, "no such operation, or no JSON: %s\n", text);
		json_decref(body);
		return 1;
	}
	for (int i = 0; i < ROUNDS; i++) {
		double begin = cpu_us();
		double between;

		for (int k = 0; k < REPEATS; k++)
			json_decref(json_loads(text, JSON_REJECT_DUPLICATES, NULL));
		between = cpu_us();
		for (int k = 0; k < REPEATS; k++) {
			struct violations v = { 0 };

			valid &= schema_validate(op->body_schema, body, &v);
			violations_done(&v);
		}
		parse[i] = (between - begin) / REPEATS;
		check[i] = (cpu_us() - between) / REPEATS;
	}
	printf("%s %.3f %.3f %s\n", op->id, median(parse), median(check),
	       valid ? "valid" : "refused");
	json_decref(body);
	return 0;
}

int main(int argc, char **argv)
{
	const struct embedded e = embedded_openapi_rules();
	struct document *d = NULL;
	struct error err = ERROR_INIT;
	int r = 0;

	if (argc < 3 || argc % 2 == 0) {
		(void)fprintf(stderr, "usage: %s {OPERATION BODY}…\n", argv[0]);
		return 2;
	}
	if (document_load(e.data, e.len, &d, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	for (int i = 1; i + 1 < argc && r == 0; i += 2)
		r = measure(find(d, argv[i]), argv[i + 1]);
	document_free(d);
	return r;
}
