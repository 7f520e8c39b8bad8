/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of a registry without asking one: names, documents, challenges, credentials. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <arpa/inet.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/registry/address.h"
#include "server/registry/auth.h"
#include "server/registry/document.h"
#include "tests/unit/test.h"

#define HEX  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX2 "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* --- references --- */

static void references_are_read_as_everywhere(void **state)
{
	static const struct {
		const char *text, *host, *repo, *tag, *digest;
	} cases[] = {
		{ "python", "docker.io", "library/python", "latest", "" },
		{ "python:3.12", "docker.io", "library/python", "3.12", "" },
		{ "org/tool:v1_2-x", "docker.io", "org/tool", "v1_2-x", "" },
		{ "docker.io/org/tool", "docker.io", "org/tool", "latest", "" },
		{ "ghcr.io/a/b/c", "ghcr.io", "a/b/c", "latest", "" },
		{ "localhost/x", "localhost", "x", "latest", "" },
		{ "127.0.0.1:5000/x:1", "127.0.0.1:5000", "x", "1", "" },
		{ "[::1]:5000/x:1", "[::1]:5000", "x", "1", "" },
		{ "a/b@sha256:" HEX, "docker.io", "a/b", "", "sha256:" HEX },
		{ "a/b:1@sha256:" HEX, "docker.io", "a/b", "1", "sha256:" HEX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct reference ref;

		if (reference_parse(cases[i].text, &ref, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err.msg);
		assert_string_equal(ref.host, cases[i].host);
		assert_string_equal(ref.repo, cases[i].repo);
		assert_string_equal(ref.tag, cases[i].tag);
		assert_string_equal(ref.digest, cases[i].digest);
	}
}

static void other_words_are_no_references(void **state)
{
	static const char *const cases[] = {
		"",
		"/",
		"UPPER",
		"a b",
		"a//b",
		"../x",
		"a/../b",
		"a:",
		"a:-x",
		"a:b:c/d",
		"a@sha256:12",
		"a@md5:" HEX,
		"host.example:99999999/x",
		"-host.example/x",
		"host_.example/x",
		"ghcr.io/",
		"a/b?x=1",
		"a#b",
		"a%2fb",
		"x\ny",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct reference ref;

		if (reference_parse(cases[i], &ref, &err) == 0)
			fail_msg("'%s' was taken as %s / %s", cases[i], ref.host, ref.repo);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void loopback_is_this_machine_only(void **state)
{
	(void)state;
	assert_true(reference_is_loopback("localhost"));
	assert_true(reference_is_loopback("localhost:5000"));
	assert_true(reference_is_loopback("127.0.0.1:80"));
	assert_true(reference_is_loopback("[::1]:5000"));
	assert_false(reference_is_loopback("localhost.example"));
	assert_false(reference_is_loopback("127.0.0.1.example"));
	assert_false(reference_is_loopback("10.0.0.1"));
}

/* --- documents --- */

#define LAYER(hex)                                                                                \
	"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:" hex \
	"\",\"size\":5}"
#define MANIFEST(layers)                                                              \
	"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":7}," \
	"\"layers\":[" layers "]}"

static int parse(const char *text, struct oci_manifest *m, struct error *err)
{
	*err = ERROR_INIT;
	return oci_manifest_parse(text, strlen(text), "amd64", m, err);
}

static void manifests_are_read(void **state)
{
	struct oci_manifest m;
	struct error err;

	(void)state;
	assert_int_equal(parse(MANIFEST(LAYER(HEX) "," LAYER(HEX2)), &m, &err), 0);
	assert_false(m.is_index);
	assert_string_equal(m.config.digest, "sha256:" HEX);
	assert_int_equal(m.config.size, 7);
	assert_int_equal(m.n_layers, 2);
	assert_string_equal(m.layers[1].digest, "sha256:" HEX2);
	oci_manifest_done(&m);
	assert_int_equal(parse(MANIFEST(""), &m, &err), 0);
	assert_int_equal(m.n_layers, 0);
	oci_manifest_done(&m);
}

static void an_index_gives_this_machine_its_image(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":["
		"{\"digest\":\"sha256:" HEX "\",\"size\":1,\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"arm64\"}},"
		"{\"digest\":\"sha256:" HEX2 "\",\"size\":2,\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"amd64\"}},"
		"{\"digest\":\"sha256:" HEX "\",\"size\":3,\"platform\":{\"os\":\"unknown\","
		"\"architecture\":\"unknown\"}}]}";
	struct oci_manifest m;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(parse(text, &m, &err), 0);
	assert_true(m.is_index);
	assert_string_equal(m.chosen.digest, "sha256:" HEX2);
	assert_true(oci_manifest_parse(text, strlen(text), "riscv64", &m, &err) < 0);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, "only for linux/arm64, linux/amd64"));
}

static void other_documents_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"[]",
		"{}",
		"{\"schemaVersion\":1}",
		"{\"schemaVersion\":2}",
		MANIFEST(LAYER("xyz")),
		MANIFEST("{\"mediaType\":\"application/vnd.in-toto+json\",\"digest\":\"sha256:" HEX
			 "\",\"size\":5}"),
		MANIFEST("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":"
			 "\"sha256:" HEX "\",\"size\":-5}"),
		MANIFEST("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":"
			 "\"sha256:" HEX "\"}"),
		MANIFEST("1"),
		"{\"schemaVersion\":2,\"manifests\":[]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha512:" HEX
		"\",\"size\":7},\"layers\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_manifest m;
		struct error err;

		if (parse(cases[i], &m, &err) == 0)
			fail_msg("taken: %s", cases[i]);
		assert_true(err.code != ERR_NONE);
	}
}

static json_t *config_of(const char *inner, size_t layers, struct error *err)
{
	autofree char *text = NULL;
	json_t *config = NULL;

	*err = ERROR_INIT;
	assert_true(
		asprintf(&text,
			 "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":%s,\"rootfs\":"
			 "{\"diff_ids\":[\"a\",\"b\"]}}",
			 inner) > 0);
	return oci_config_parse(text, strlen(text), "amd64", layers, &config, err) == 0 ? config
											: NULL;
}

static void configurations_are_kept(void **state)
{
	struct error err;
	json_auto_t *all =
		config_of("{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\",\"d\"],\"Env\":[\"A=1\"],"
			  "\"User\":\"u:g\",\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\","
			  "\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}},"
			  "\"Labels\":{\"k\":\"v\"}}",
			  2, &err);
	json_auto_t *want = json_pack(
		"{s:[s], s:[s,s], s:[s], s:s, s:s, s:s, s:[s], s:[s], s:{s:s}}", "entrypoint", "/e",
		"cmd", "c", "d", "env", "A=1", "user", "u:g", "workdir", "/w", "stop_signal",
		"SIGINT", "ports", "80/tcp", "volumes", "/v", "labels", "k", "v");
	json_auto_t *empty = config_of("null", 2, &err);
	json_auto_t *init = config_of("{\"Cmd\":[\"/sbin/init\"]}", 2, &err);

	(void)state;
	assert_true(json_equal(all, want));
	assert_int_equal(json_object_size(empty), 0);
	assert_string_equal(json_string_value(json_object_get(init, "init")), "system");
}

static void wrong_configurations_are_refused(void **state)
{
	static const char *const cases[] = { "{\"Cmd\":\"sh\"}", "{\"Env\":[1]}", "{\"User\":{}}",
					     "{\"Labels\":{\"a\":1}}" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_null(config_of(cases[i], 2, &err));
	assert_null(config_of("{}", 3, &err));
	assert_non_null(strstr(err.msg, "knows of 2 layers, the manifest of 3"));
}

/* --- who we are --- */

static void challenges_are_read(void **state)
{
	struct challenge c;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(
		challenge_parse("Bearer realm=\"https://auth.example/token\","
				"service=\"registry.example\",scope=\"repository:a/b:pull\"",
				&c, &err),
		0);
	assert_true(c.bearer);
	assert_string_equal(c.realm, "https://auth.example/token");
	assert_string_equal(c.service, "registry.example");
	assert_string_equal(c.scope, "repository:a/b:pull");
	assert_int_equal(challenge_parse("bearer  realm=https://x/t", &c, &err), 0);
	assert_string_equal(c.realm, "https://x/t");
	assert_int_equal(challenge_parse("Basic realm=\"x\"", &c, &err), 0);
	assert_false(c.bearer);
	assert_true(challenge_parse("Negotiate", &c, &err) < 0);
	err = ERROR_INIT;
	assert_true(challenge_parse("Bearer service=\"x\"", &c, &err) < 0);
	err = ERROR_INIT;
	assert_true(challenge_parse("Bearer realm=\"open", &c, &err) < 0);
}

static void credentials_come_from_the_owners_file(void **state)
{
	char folder[] = "/tmp/banger-credentials-XXXXXX";
	static const char text[] =
		"{\"auths\":{\"a.example\":{\"auth\":\"dXNlcjpwYXNz\"},"
		"\"https://b.example\":{\"username\":\"bob\",\"password\":\"secret\"},"
		"\"bad.example\":{\"auth\":\"!!\"},\"empty.example\":{},"
		"\"https://index.docker.io/v1/\":{\"auth\":\"aDpo\"}}}";
	struct error err = ERROR_INIT;
	struct credentials c;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(credentials_find(folder, "a.example", &c, &err), 0);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(write_file_at(dir, "config.json", text, strlen(text), 0600), 0);
	assert_int_equal(credentials_find(folder, "a.example", &c, &err), 1);
	assert_string_equal(c.user, "user");
	assert_string_equal(c.password, "pass");
	assert_int_equal(credentials_find(folder, "b.example", &c, &err), 1);
	assert_string_equal(c.password, "secret");
	assert_int_equal(credentials_find(folder, "docker.io", &c, &err), 1);
	assert_string_equal(c.user, "h");
	assert_int_equal(credentials_find(folder, "empty.example", &c, &err), 0);
	assert_int_equal(credentials_find(folder, "other.example", &c, &err), 0);
	assert_true(credentials_find(folder, "bad.example", &c, &err) < 0);
	(void)close(dir);
	(void)!remove_tree_at(AT_FDCWD, folder);
}

static void addresses_have_a_reach(void **state)
{
	static const struct {
		const char *text;
		enum address_reach reach;
	} cases[] = {
		{ "127.0.0.1", REACH_LOOPBACK },
		{ "0.0.0.0", REACH_LOOPBACK },
		{ "10.1.2.3", REACH_PRIVATE },
		{ "172.16.0.1", REACH_PRIVATE },
		{ "172.32.0.1", REACH_PUBLIC },
		{ "192.168.1.1", REACH_PRIVATE },
		{ "192.169.1.1", REACH_PUBLIC },
		{ "100.64.0.1", REACH_PRIVATE },
		{ "169.254.169.254", REACH_LINK },
		{ "8.8.8.8", REACH_PUBLIC },
		{ "::1", REACH_LOOPBACK },
		{ "[::]", REACH_LOOPBACK },
		{ "[fe80::1%25eth0]", REACH_LINK },
		{ "fd00::1", REACH_PRIVATE },
		{ "::ffff:10.0.0.1", REACH_PRIVATE },
		{ "[::ffff:169.254.169.254]", REACH_LINK },
		{ "64:ff9b::7f00:1", REACH_LOOPBACK },
		{ "2606:4700::1", REACH_PUBLIC },
		{ "example.org", REACH_PUBLIC },
		{ "10.0.0.1.example.org", REACH_PUBLIC },
	};
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr other = { .sa_family = AF_UNIX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (address_reach_of_host(cases[i].text) != cases[i].reach)
			fail_msg("%s", cases[i].text);
	assert_int_equal(inet_pton(AF_INET, "192.168.7.7", &v4.sin_addr), 1);
	assert_int_equal(address_reach((struct sockaddr *)&v4), REACH_PRIVATE);
	assert_int_equal(address_reach(&other), REACH_LOOPBACK);
}

static void nobody_sends_us_nearer_than_himself(void **state)
{
	static const bool allowed[4][4] = {
		[REACH_PUBLIC] = { [REACH_PUBLIC] = true },
		[REACH_PRIVATE] = { [REACH_PUBLIC] = true, [REACH_PRIVATE] = true },
		[REACH_LOOPBACK] = { [REACH_PUBLIC] = true,
				     [REACH_PRIVATE] = true,
				     [REACH_LOOPBACK] = true },
		[REACH_LINK] = { [REACH_PUBLIC] = true,
				 [REACH_PRIVATE] = true,
				 [REACH_LINK] = true },
	};

	(void)state;
	for (size_t own = 0; own < 4; own++)
		for (size_t other = 0; other < 4; other++)
			assert_int_equal(
				address_allowed((enum address_reach)own, (enum address_reach)other),
				allowed[own][other]);
}

static void proxies_come_from_the_environment(void **state)
{
	static const struct {
		const char *except, *host;
		bool found;
	} cases[] = {
		{ "", "example.org", true },
		{ "*", "example.org", false },
		{ "example.org", "example.org", false },
		{ "other.org,.example.org", "a.example.org", false },
		{ "other.org, example.org", "A.Example.org", false },
		{ "example.org", "badexample.org", true },
		{ "10.0.0.0/8", "10.9.8.7", false },
		{ "10.0.0.0/15", "10.2.0.1", true },
		{ "10.0.0.0/99,10.0.0.0/", "10.0.0.1", true },
		{ "fd00::/8", "[fd12::1]", false },
		{ "", "127.0.0.1", false },
		{ "", "localhost", false },
	};
	char proxy[64] = "";

	(void)state;
	unsetenv("no_proxy");
	unsetenv("all_proxy");
	unsetenv("https_proxy");
	setenv("HTTPS_PROXY", "http://10.0.0.1:3128", 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		setenv("NO_PROXY", cases[i].except, 1);
		if (proxy_find(true, cases[i].host, proxy, sizeof(proxy)) != cases[i].found)
			fail_msg("%s but not %s", cases[i].host, cases[i].except);
	}
	setenv("NO_PROXY", "", 1);
	assert_true(proxy_find(true, "example.org", proxy, sizeof(proxy)));
	assert_string_equal(proxy, "http://10.0.0.1:3128");
	assert_false(proxy_find(true, "example.org", proxy, 5));
	unsetenv("http_proxy");
	setenv("HTTP_PROXY", "http://evil", 1);
	assert_false(proxy_find(false, "example.org", proxy, sizeof(proxy)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_read_as_everywhere),
		cmocka_unit_test(other_words_are_no_references),
		cmocka_unit_test(loopback_is_this_machine_only),
		cmocka_unit_test(manifests_are_read),
		cmocka_unit_test(an_index_gives_this_machine_its_image),
		cmocka_unit_test(other_documents_are_refused),
		cmocka_unit_test(configurations_are_kept),
		cmocka_unit_test(wrong_configurations_are_refused),
		cmocka_unit_test(challenges_are_read),
		cmocka_unit_test(credentials_come_from_the_owners_file),
		cmocka_unit_test(addresses_have_a_reach),
		cmocka_unit_test(nobody_sends_us_nearer_than_himself),
		cmocka_unit_test(proxies_come_from_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
