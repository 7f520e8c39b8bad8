/* SPDX-License-Identifier: Apache-2.0 */
/* The table of states: what it promises of itself, and that the document says the same. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vm/vm.h"

static bool allows(int state, int verb)
{
	struct error err;

	return vm_state_allows((enum vm_state)state, (enum vm_verb)verb, "x", &err) == 0;
}

/* The states that can follow, in any number of steps. */
static unsigned int reachable(int from)
{
	unsigned int seen = 1U << from;
	unsigned int before;

	do {
		before = seen;
		for (int a = 0; a < VM_STATE_MAX_; a++)
			for (int b = 0; b < VM_STATE_MAX_; b++)
				if ((seen & 1U << a) &&
				    vm_state_may_follow((enum vm_state)a, (enum vm_state)b))
					seen |= 1U << b;
	} while (seen != before);
	return seen;
}

static void every_state_has_a_way_out(void **unused)
{
	(void)unused;
	for (int s = 0; s < VM_STATE_MAX_; s++) {
		assert_true(reachable(s) & 1U << VM_DELETING);
		assert_true(allows(s, VM_VERB_DELETE));
		assert_false(vm_state_may_follow(VM_DELETING, (enum vm_state)s));
		if (s != VM_DELETING)
			assert_true(vm_state_may_follow((enum vm_state)s, VM_DELETING));
	}
}

static void every_state_is_reached_and_every_verb_is_of_use(void **unused)
{
	(void)unused;
	assert_int_equal((1U << VM_STATE_MAX_) - 1, reachable(VM_CREATED));
	for (int v = 0; v < VM_VERB_MAX_; v++) {
		bool somewhere = false;

		for (int s = 0; s < VM_STATE_MAX_; s++)
			somewhere |= allows(s, v);
		assert_true(somewhere);
	}
}

/* Whoever has a process can lose it at any moment. */
static void a_process_may_end_in_any_state_that_has_one(void **unused)
{
	static const enum vm_state with_process[] = { VM_STARTING, VM_RUNNING, VM_PAUSED,
						      VM_STOPPING };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(with_process); i++) {
		assert_true(vm_state_may_follow(with_process[i], VM_STOPPED));
		assert_true(vm_state_may_follow(with_process[i], VM_FAILED));
		assert_true(allows((int)with_process[i], VM_VERB_KILL));
	}
}

static void a_refusal_names_the_state_and_what_is_possible(void **unused)
{
	(void)unused;
	for (int s = 0; s < VM_STATE_MAX_; s++) {
		for (int v = 0; v < VM_VERB_MAX_; v++) {
			struct error err;
			enum vm_state state = (enum vm_state)s;

			if (vm_state_allows(state, (enum vm_verb)v, "web", &err) == 0)
				continue;
			assert_int_equal(ERR_STATE, err.code);
			assert_non_null(strstr(err.msg, "'web'"));
			assert_non_null(strstr(err.msg, vm_state_name(state)));
			for (int other = 0; other < VM_VERB_MAX_; other++)
				if (allows(s, other))
					assert_non_null(
						strstr(err.msg, vm_verb_name((enum vm_verb)other)));
		}
	}
}

/* "| suspended | persistent | its memory is on disk | start, kill (drops it), delete |" */
static bool names_verb(const char *cell, const char *verb)
{
	size_t len = strlen(verb);

	for (const char *p = cell; (p = strstr(p, verb)) != NULL; p += len)
		if ((p == cell || p[-1] == ' ') && (p[len] == ',' || p[len] == ' ' || !p[len]))
			return true;
	return false;
}

static void check_row(int state, char *row)
{
	char *cells[5] = { NULL };
	char *save = NULL;
	size_t n = 0;

	for (char *c = strtok_r(row, "|", &save); c && n < ARRAY_SIZE(cells);
	     c = strtok_r(NULL, "|", &save))
		cells[n++] = c;
	assert_int_equal(4, n);
	/* Remarks in brackets are for readers. */
	for (char *open; (open = strchr(cells[3], '(')) != NULL;) {
		char *close = strchr(open, ')');

		assert_non_null(close);
		memset(open, ' ', (size_t)(close - open) + 1);
	}
	for (int v = 0; v < VM_VERB_MAX_; v++) {
		const char *verb = vm_verb_name((enum vm_verb)v);

		if (names_verb(cells[3], verb) != allows(state, v))
			fail_msg("%s in state %s: the document and the table differ", verb,
				 vm_state_name((enum vm_state)state));
	}
}

static void the_document_has_the_same_table(void **unused)
{
	autofree char *text = NULL;
	size_t len = 0;

	(void)unused;
	assert_int_equal(0, read_file(ARCHITECTURE, 1 << 20, &text, &len));
	for (int s = 0; s < VM_STATE_MAX_; s++) {
		autofree char *row = NULL;
		char head[32];
		char *at;

		(void)snprintf(head, sizeof(head), "\n| %s |", vm_state_name((enum vm_state)s));
		at = strstr(text, head);
		if (!at)
			fail_msg("docs/architecture.md has no row of state %s",
				 vm_state_name((enum vm_state)s));
		row = strndup(at + 1, strcspn(at + 1, "\n"));
		assert_non_null(row);
		check_row(s, row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_has_a_way_out),
		cmocka_unit_test(every_state_is_reached_and_every_verb_is_of_use),
		cmocka_unit_test(a_process_may_end_in_any_state_that_has_one),
		cmocka_unit_test(a_refusal_names_the_state_and_what_is_possible),
		cmocka_unit_test(the_document_has_the_same_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
