/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens: who is known, and that the end of a token is an end at once. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "server/api/tokens.h"

enum { PRINCIPAL_SIZE = 80 };

struct fixture {
	char dir[64];
	struct store *store;
	struct tokens *tokens;
};

static int begin(void **state)
{
	static struct fixture f;
	struct error err = ERROR_INIT;

	char path[96];

	(void)snprintf(f.dir, sizeof(f.dir), "/tmp/banger-test-XXXXXX");
	if (!mkdtemp(f.dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state.db", f.dir);
	if (store_open(path, &f.store, &err) < 0 || tokens_open(f.store, &f.tokens, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	tokens_close(f->tokens);
	store_close(f->store);
	return remove_tree_at(AT_FDCWD, f->dir);
}

static void create(struct fixture *f, const char *name, const char *scope, uint32_t ttl_s,
		   char text[TOKEN_TEXT_MAX])
{
	struct error err = ERROR_INIT;

	assert_int_equal(tokens_create(f->tokens, name, scope, ttl_s, text, &err), 0);
}

static void assert_known(struct fixture *f, const char *text, enum http_scope scope,
			 const char *principal)
{
	char by[PRINCIPAL_SIZE] = "";

	/* The first time by its hash, then from memory. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tokens_check(f->tokens, text, by, sizeof(by)), scope);
		assert_string_equal(by, principal);
	}
}

static void assert_unknown(struct fixture *f, const char *text)
{
	char by[PRINCIPAL_SIZE] = "";

	assert_int_equal(tokens_check(f->tokens, text, by, sizeof(by)), HTTP_SCOPE_NONE);
	assert_string_equal(by, "");
}

static void a_token_says_who_asks(void **state)
{
	char a[TOKEN_TEXT_MAX], b[TOKEN_TEXT_MAX];

	create(*state, "a", "read", 0, a);
	create(*state, "b", "admin", 0, b);
	assert_known(*state, a, HTTP_SCOPE_READ, "token:a");
	assert_known(*state, b, HTTP_SCOPE_ADMIN, "token:b");
	assert_known(*state, a, HTTP_SCOPE_READ, "token:a");
}

static void what_is_almost_a_token_is_none(void **state)
{
	char text[TOKEN_TEXT_MAX], other[2 * TOKEN_TEXT_MAX];
	size_t len;

	create(*state, "a", "admin", 0, text);
	assert_known(*state, text, HTTP_SCOPE_ADMIN, "token:a");
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		(void)snprintf(other, sizeof(other), "%s", text);
		other[i] ^= 1;
		assert_unknown(*state, other);
		(void)snprintf(other, sizeof(other), "%.*s", (int)i, text);
		assert_unknown(*state, other);
	}
	for (size_t more = 1; len + more < sizeof(other); more++) {
		memset(other, 'A', sizeof(other));
		memcpy(other, text, len);
		other[len + more] = '\0';
		assert_unknown(*state, other);
	}
}

static void a_revoked_token_is_unknown_at_once(void **state)
{
	struct fixture *f = *state;
	char a[TOKEN_TEXT_MAX], b[TOKEN_TEXT_MAX], c[TOKEN_TEXT_MAX];
	struct error err = ERROR_INIT;

	create(f, "a", "read", 0, a);
	create(f, "b", "run", 0, b);
	create(f, "c", "admin", 0, c);
	assert_known(f, a, HTTP_SCOPE_READ, "token:a");
	assert_known(f, b, HTTP_SCOPE_RUN, "token:b");
	assert_known(f, c, HTTP_SCOPE_ADMIN, "token:c");
	assert_int_equal(tokens_revoke(f->tokens, "a", &err), 0);
	assert_unknown(f, a);
	assert_known(f, b, HTTP_SCOPE_RUN, "token:b");
	assert_known(f, c, HTTP_SCOPE_ADMIN, "token:c");
	assert_int_equal(tokens_revoke(f->tokens, "c", &err), 0);
	assert_unknown(f, c);
	assert_known(f, b, HTTP_SCOPE_RUN, "token:b");
}

static void a_token_ends_with_its_time(void **state)
{
	struct fixture *f = *state;
	char text[TOKEN_TEXT_MAX];

	create(f, "short", "run", 1, text);
	assert_known(f, text, HTTP_SCOPE_RUN, "token:short");
	usleep(1100 * 1000);
	assert_unknown(f, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_says_who_asks, begin, end),
		cmocka_unit_test_setup_teardown(what_is_almost_a_token_is_none, begin, end),
		cmocka_unit_test_setup_teardown(a_revoked_token_is_unknown_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_token_ends_with_its_time, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
