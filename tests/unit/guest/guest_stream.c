/* SPDX-License-Identifier: Apache-2.0 */
/* Files, trees and tunnels through the link. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/work.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"
#include "tests/unit/guest/rig.h"

static char base[] = "/tmp/guest-stream-XXXXXX";
static int base_fd = -1;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return base_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	close_keep_errno(base_fd);
	return remove_tree_at(tmp, base + strlen("/tmp/"));
}

static void run(const char *script)
{
	char command[1024];

	(void)snprintf(command, sizeof(command), "cd %s && { %s\n}", base, script);
	/* A fixed script. NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe) */
	assert_int_equal(system(command), 0);
}

/* A transfer and all that came of it. */
struct moved {
	struct guest_stream *stream;
	struct guest_file_info info;
	bool ready;
	char *out;
	size_t out_len;
	size_t keep; /* stop after each so many bytes */
	size_t since_pause;
	bool paused;
	const char *input;
	size_t input_left;
	bool hold_input; /* finish only when told */
	bool out_ended;
	bool ended;
	struct error err;
};

static void write_more(struct moved *m)
{
	size_t n = guest_stream_write(m->stream, m->input, m->input_left);

	m->input += n;
	m->input_left -= n;
	if (m->input_left == 0 && !m->hold_input)
		guest_stream_finish(m->stream);
}

static void on_ready(void *data, const struct guest_file_info *info)
{
	struct moved *m = data;

	assert_false(m->ready);
	m->ready = true;
	m->info = *info;
}

static bool on_output(void *data, const void *bytes, size_t len)
{
	struct moved *m = data;

	assert_false(m->paused);
	assert_true(len <= LINK_DATA_MAX);
	m->out = realloc(m->out, m->out_len + len + 1);
	assert_non_null(m->out);
	memcpy(m->out + m->out_len, bytes, len);
	m->out_len += len;
	m->out[m->out_len] = '\0';
	m->since_pause += len;
	m->paused = m->keep && m->since_pause >= m->keep;
	return !m->paused;
}

static void on_output_end(void *data)
{
	struct moved *m = data;

	m->out_ended = true;
}

static void on_writable(void *data)
{
	write_more(data);
}

static void on_end(void *data, const struct error *err)
{
	struct moved *m = data;

	assert_false(m->ended);
	m->ended = true;
	m->err = *err;
	m->stream = NULL;
}

static const struct guest_stream_callbacks callbacks = { on_ready, on_output, on_output_end,
							 on_writable, on_end };

static bool ended(void *data)
{
	struct moved *m = data;

	if (m->paused && m->stream) {
		m->paused = false;
		m->since_pause = 0;
		guest_stream_resume(m->stream);
	}
	return m->ended;
}

static const char *at(const char *name)
{
	static char path[2][512];
	static int i;

	i = 1 - i;
	(void)snprintf(path[i], sizeof(path[i]), "%s/%s", base, name);
	return path[i];
}

static void get(struct rig *rig, struct moved *m, const char *name, uint64_t offset,
		uint64_t length)
{
	const struct guest_range range = { .offset = offset, .length = length };
	struct error err = ERROR_INIT;

	assert_int_equal(
		guest_file_get(rig->guest, at(name), &range, &callbacks, m, &m->stream, &err), 0);
	rig_run(rig, ended, m);
}

static void put_with(struct rig *rig, struct moved *m, const char *name, const char *text,
		     const struct guest_put_options *options)
{
	struct error err = ERROR_INIT;

	m->input = text;
	m->input_left = strlen(text);
	assert_int_equal(
		guest_file_put(rig->guest, at(name), options, &callbacks, m, &m->stream, &err), 0);
	write_more(m);
	rig_run(rig, ended, m);
}

static void a_file_is_read_with_its_description(void **state)
{
	struct moved m = { .keep = 70000 };
	struct moved part = { .out = NULL };
	struct moved beyond = { .out = NULL };
	struct rig rig;
	autofree char *want = NULL;
	size_t len;

	(void)state;
	run("head -c 3000000 /dev/urandom > 'a file%'; chmod 640 'a file%'");
	assert_int_equal(read_file_at(base_fd, "a file%", 4000000, &want, &len), 0);
	rig_start(&rig);
	get(&rig, &m, "a file%", 0, UINT64_MAX);
	assert_int_equal(m.err.code, ERR_NONE);
	assert_int_equal(m.out_len, len);
	assert_memory_equal(m.out, want, len);
	assert_string_equal(m.info.type, "file");
	assert_int_equal(m.info.size, len);
	assert_true(m.info.sized);
	assert_int_equal(m.info.mode, 0640);
	assert_true(strlen(m.info.etag) > 4);
	get(&rig, &part, "a file%", 1234567, 1000);
	assert_int_equal(part.out_len, 1000);
	assert_memory_equal(part.out, want + 1234567, 1000);
	get(&rig, &beyond, "a file%", 99999999, 1000);
	assert_int_equal(beyond.out_len, 0);
	assert_int_equal(beyond.err.code, ERR_NONE);
	free(m.out);
	free(part.out);
	rig_stop(&rig);
}

static void what_is_no_file_is_refused(void **state)
{
	static const struct {
		const char *name;
		enum error_code code;
		int sys;
	} cases[] = {
		{ "no/such", ERR_NOT_FOUND, ENOENT },
		{ "file/below", ERR_NOT_FOUND, ENOTDIR },
		{ "fifo", ERR_STATE, EINVAL },
	};
	struct rig rig;

	(void)state;
	run("rm -rf *; echo x > file; mkfifo fifo");
	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct moved m = { .out = NULL };

		get(&rig, &m, cases[i].name, 0, UINT64_MAX);
		assert_int_equal(m.err.code, cases[i].code);
		assert_int_equal(m.err.sys, cases[i].sys);
		assert_false(m.ready);
	}
	rig_stop(&rig);
}

static void a_folder_is_listed(void **state)
{
	struct error err = ERROR_INIT;
	struct moved m = { .out = NULL };
	json_auto_t *list = NULL;
	struct rig rig;
	size_t i;
	json_t *e;
	int links = 0;

	(void)state;
	run("rm -rf *; mkdir d; echo x > d/f; ln -s f d/l; mkdir d/sub");
	rig_start(&rig);
	get(&rig, &m, "d", 0, UINT64_MAX);
	(void)err;
	list = json_loads(m.out, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(list, "entries")), 3);
	json_array_foreach (json_object_get(list, "entries"), i, e) {
		if (strcmp(json_string_value(json_object_get(e, "type")), "link") == 0) {
			assert_string_equal(json_string_value(json_object_get(e, "target")), "f");
			links++;
		}
	}
	assert_int_equal(links, 1);
	free(m.out);
	rig_stop(&rig);
}

static void a_file_is_described_without_its_bytes(void **state)
{
	struct error err = ERROR_INIT;
	struct moved followed = { .out = NULL };
	struct moved link = { .out = NULL };
	struct moved missing = { .out = NULL };
	struct rig rig;

	(void)state;
	run("rm -rf *; echo hello > f; ln -s f l");
	rig_start(&rig);
	assert_int_equal(guest_file_head(rig.guest, at("l"), true, &callbacks, &followed,
					 &followed.stream, &err),
			 0);
	rig_run(&rig, ended, &followed);
	assert_string_equal(followed.info.type, "file");
	assert_int_equal(followed.info.size, 6);
	assert_int_equal(followed.out_len, 0);
	assert_int_equal(
		guest_file_head(rig.guest, at("l"), false, &callbacks, &link, &link.stream, &err),
		0);
	rig_run(&rig, ended, &link);
	assert_string_equal(link.info.type, "link");
	assert_int_equal(guest_file_head(rig.guest, at("x"), true, &callbacks, &missing,
					 &missing.stream, &err),
			 0);
	rig_run(&rig, ended, &missing);
	assert_int_equal(missing.err.code, ERR_NOT_FOUND);
	rig_stop(&rig);
}

static void a_file_is_written_whole(void **state)
{
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	struct moved plain = { .out = NULL };
	struct moved again = { .out = NULL };
	struct moved deep = { .out = NULL };
	struct moved patched = { .out = NULL };
	struct moved refused = { .out = NULL };
	struct rig rig;

	(void)state;
	run("rm -rf *; ln -s target link; mkdir dir");
	rig_start(&rig);
	options.mode = 0755;
	put_with(&rig, &plain, "target", "first version", &options);
	assert_int_equal(plain.err.code, ERR_NONE);
	run("test \"$(cat target)\" = 'first version' && test \"$(stat -c %a target)\" = 755");
	options.mode = -1;
	put_with(&rig, &again, "link", "second", &options); /* through the link, mode kept */
	run("test -h link && test \"$(cat target)\" = second && test \"$(stat -c %a target)\" = "
	    "755");
	options.offset = 2;
	put_with(&rig, &patched, "target", "XY", &options);
	run("test \"$(cat target)\" = seXYnd");
	options.offset = -1;
	put_with(&rig, &refused, "dir", "x", &options);
	assert_int_equal(refused.err.code, ERR_STATE);
	options.parents = true;
	options.uid = 12;
	options.gid = 34;
	put_with(&rig, &deep, "new/folder/f", "x", &options);
	run("test \"$(stat -c %u:%g:%a new/folder/f)\" = 12:34:644");
	run("test \"$(find . -name '*banger*' | wc -l)\" = 0");
	rig_stop(&rig);
}

static bool always(void *data)
{
	return data != NULL;
}

static void a_write_that_breaks_off_changes_nothing(void **state)
{
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	struct error err = ERROR_INIT;
	struct moved m = { .hold_input = true, .input = "half", .input_left = 4 };
	struct rig rig;

	(void)state;
	run("rm -rf *; echo old > f");
	rig_start(&rig);
	assert_int_equal(
		guest_file_put(rig.guest, at("f"), &options, &callbacks, &m, &m.stream, &err), 0);
	write_more(&m);
	rig_run(&rig, always, &rig);
	rig_break(&rig);
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_GUEST);
	run("test \"$(cat f)\" = old && test \"$(ls)\" = f");
	rig_stop(&rig);
}

static void put_if(struct rig *rig, const struct guest_condition *condition, const char *text,
		   enum error_code code)
{
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	struct moved m = { .out = NULL };

	options.condition = *condition;
	put_with(rig, &m, "bound", text, &options);
	assert_int_equal(m.err.code, code);
}

static void a_change_can_be_bound_to_a_version(void **state)
{
	const struct guest_condition any = { .if_match = "*" };
	const struct guest_condition none = { .if_none_match = "*" };
	struct moved first = { .out = NULL };
	struct guest_condition this = { .if_match = first.info.etag };
	struct guest_condition weak = { .if_match = "" };
	char text[sizeof(first.info.etag) + 2];
	struct rig rig;

	(void)state;
	run("rm -rf *");
	rig_start(&rig);
	put_if(&rig, &any, "0", ERR_PRECONDITION);
	run("test ! -e bound");
	put_if(&rig, &none, "1", ERR_NONE);
	put_if(&rig, &none, "2", ERR_PRECONDITION);
	get(&rig, &first, "bound", 0, UINT64_MAX);
	(void)snprintf(text, sizeof(text), "W/%s", first.info.etag);
	weak.if_match = text;
	put_if(&rig, &weak, "3", ERR_PRECONDITION);
	weak = (struct guest_condition){ .if_none_match = text };
	put_if(&rig, &weak, "4", ERR_PRECONDITION);
	run("test \"$(cat bound)\" = 1");
	put_if(&rig, &this, "555", ERR_NONE);
	put_if(&rig, &this, "6", ERR_PRECONDITION);
	put_if(&rig, &any, "7777", ERR_NONE);
	put_if(&rig, &weak, "88888", ERR_NONE);
	run("test \"$(cat bound)\" = 88888 && test \"$(ls -A)\" = bound");
	free(first.out);
	rig_stop(&rig);
}

/* The new file is there, beside the old one. */
static bool writing_has_begun(void *data)
{
	glob_t found = { .gl_pathc = 0 };
	bool begun = glob(at(".banger-*"), 0, NULL, &found) == 0;

	(void)data;
	globfree(&found);
	return begun;
}

/* One that changes while the new bytes come stays as it has become. */
static void a_change_in_between_is_seen(void **state)
{
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	struct error err = ERROR_INIT;
	struct moved seen = { .out = NULL };
	struct moved m = { .hold_input = true, .input = "mine", .input_left = 4 };
	struct rig rig;

	(void)state;
	run("rm -rf *; echo old > f");
	rig_start(&rig);
	get(&rig, &seen, "f", 0, UINT64_MAX);
	options.condition.if_match = seen.info.etag;
	assert_int_equal(
		guest_file_put(rig.guest, at("f"), &options, &callbacks, &m, &m.stream, &err), 0);
	write_more(&m);
	rig_run(&rig, writing_has_begun, NULL);
	run("echo theirs > f");
	guest_stream_finish(m.stream);
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_PRECONDITION);
	run("test \"$(cat f)\" = theirs && test \"$(ls -A)\" = f");
	free(seen.out);
	rig_stop(&rig);
}

/* --- large files: bytes that a thread of the agent reads --- */

enum { LARGE = 8 << 20 };

static bool is_paused(void *data)
{
	const struct moved *m = data;

	return m->paused || m->ended;
}

/* The file has begun to come, and waits. */
static void begin_large(struct rig *rig, struct moved *m)
{
	const struct guest_range range = { .length = LARGE };
	struct error err = ERROR_INIT;

	run("head -c 8388608 /dev/urandom > large");
	assert_int_equal(
		guest_file_get(rig->guest, at("large"), &range, &callbacks, m, &m->stream, &err),
		0);
	rig_run(rig, is_paused, m);
	assert_false(m->ended);
	assert_int_equal(rig->agent.works, 1);
}

static bool nothing_works(void *data)
{
	const struct rig *rig = data;

	return rig->agent.works == 0;
}

static void a_large_file_comes_as_it_is(void **state)
{
	struct moved m = { .keep = 1 << 20 };
	autofree char *bytes = NULL;
	struct rig rig;
	size_t len;

	(void)state;
	rig_start(&rig);
	begin_large(&rig, &m);
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_NONE);
	assert_int_equal(read_file(at("large"), LARGE, &bytes, &len), 0);
	assert_int_equal(m.out_len, len);
	assert_memory_equal(m.out, bytes, len);
	rig_run(&rig, nothing_works, &rig);
	free(m.out);
	rig_stop(&rig);
}

static void a_file_that_becomes_shorter_breaks_off(void **state)
{
	struct moved m = { .keep = 1 << 20 };
	struct rig rig;

	(void)state;
	rig_start(&rig);
	begin_large(&rig, &m);
	run(": > large");
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_GUEST);
	assert_true(m.out_len < LARGE);
	rig_run(&rig, nothing_works, &rig);
	free(m.out);
	rig_stop(&rig);
}

static void a_large_file_that_nobody_wants_any_more_is_let_go(void **state)
{
	struct moved m = { .keep = 70000 };
	struct rig rig;

	(void)state;
	rig_start(&rig);
	begin_large(&rig, &m);
	guest_stream_abort(m.stream);
	rig_run(&rig, nothing_works, &rig);
	free(m.out);
	rig_stop(&rig);
}

static void refused_for_now(struct rig *rig, struct moved *m)
{
	rig_run(rig, ended, m);
	assert_int_equal(m->err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(m->err.msg, "the most at once"));
	assert_int_equal(rig->agent.works, WORKS_MAX);
}

/* As where each of so many was given up, and waits for a file system that does not answer. */
static void at_the_limit_nothing_runs_in_the_loop(void **state)
{
	static char large[200000];
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	struct moved m[4] = { { .out = NULL } };
	struct error err = ERROR_INIT;
	struct rig rig;

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	run("rm -rf *; mkdir d; head -c 100000 /dev/zero > f; cp f of");
	rig_start(&rig);
	rig.agent.works = WORKS_MAX;
	get(&rig, &m[0], "f", 0, UINT64_MAX);
	refused_for_now(&rig, &m[0]);
	put_with(&rig, &m[1], "f", large, &options);
	refused_for_now(&rig, &m[1]);
	run("cmp f of && test \"$(ls -A | xargs)\" = 'd f of'");
	assert_int_equal(guest_tar_get(rig.guest, at("d"), &callbacks, &m[2], &m[2].stream, &err),
			 0);
	refused_for_now(&rig, &m[2]);
	m[3] = (struct moved){ .input = large, .input_left = sizeof(large) - 1 };
	assert_int_equal(guest_tar_put(rig.guest, at("d"), &callbacks, &m[3], &m[3].stream, &err),
			 0);
	write_more(&m[3]);
	refused_for_now(&rig, &m[3]);
	rig.agent.works = 0;
	m[0] = (struct moved){ .out = NULL };
	put_with(&rig, &m[0], "f", large, &options);
	run("test $(stat -c %s f) = 199999");
	rig_stop(&rig);
}

/* Its bytes are others, though a program has put size and time back. */
static void a_version_tells_what_times_hide(void **state)
{
	struct moved first = { .out = NULL };
	struct moved second = { .out = NULL };
	struct rig rig;

	(void)state;
	rig_start(&rig);
	run("echo one > f; touch -d @1000000000 f");
	get(&rig, &first, "f", 0, UINT64_MAX);
	run("sleep 0.05; echo two > f; touch -d @1000000000 f");
	get(&rig, &second, "f", 0, UINT64_MAX);
	assert_int_equal(first.info.mtime_ns, second.info.mtime_ns);
	assert_int_equal(first.info.size, second.info.size);
	assert_string_not_equal(first.info.etag, second.info.etag);
	free(first.out);
	free(second.out);
	rig_stop(&rig);
}

static void files_and_trees_are_removed(void **state)
{
	struct error err = ERROR_INIT;
	static const struct {
		const char *name;
		bool recursive;
		enum error_code code;
	} cases[] = {
		{ "f", false, ERR_NONE },     { "f", false, ERR_NOT_FOUND },
		{ "full", false, ERR_STATE }, { "empty", false, ERR_NONE },
		{ "full", true, ERR_NONE },
	};
	struct rig rig;

	(void)state;
	run("rm -rf *; echo x > f; mkdir empty full; echo x > full/f; mkdir full/sub; ln -s /etc "
	    "full/etc");
	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct moved m = { .out = NULL };

		assert_int_equal(guest_file_delete(rig.guest, at(cases[i].name), cases[i].recursive,
						   &GUEST_NO_CONDITION, &callbacks, &m, &m.stream,
						   &err),
				 0);
		rig_run(&rig, ended, &m);
		assert_int_equal(m.err.code, cases[i].code);
		free(m.out);
	}
	run("test -z \"$(ls)\" && test -e /etc/passwd");
	rig_stop(&rig);
}

static void a_tree_goes_out_and_comes_in(void **state)
{
	struct error err = ERROR_INIT;
	struct moved out = { .keep = 300000 };
	struct moved in = { .out = NULL };
	struct rig rig;

	(void)state;
	run("rm -rf *; mkdir -p src/a/b; head -c 5000000 /dev/urandom > src/a/big; echo x > "
	    "src/a/b/x;"
	    "ln -s x src/a/b/l");
	rig_start(&rig);
	assert_int_equal(guest_tar_get(rig.guest, at("src"), &callbacks, &out, &out.stream, &err),
			 0);
	rig_run(&rig, ended, &out);
	assert_int_equal(out.err.code, ERR_NONE);
	assert_true(out.out_len > 5000000);
	in.input = out.out;
	in.input_left = out.out_len;
	assert_int_equal(guest_tar_put(rig.guest, at("new/dst"), &callbacks, &in, &in.stream, &err),
			 0);
	write_more(&in);
	rig_run(&rig, ended, &in);
	assert_int_equal(in.err.code, ERR_NONE);
	run("diff -r src new/dst && test -h new/dst/a/b/l");
	free(out.out);
	free(in.out);
	rig_stop(&rig);
}

static void a_bad_archive_is_refused_with_its_reason(void **state)
{
	static char noise[2000000];
	struct error err = ERROR_INIT;
	struct moved in = { .input = noise, .input_left = sizeof(noise) };
	struct moved missing = { .out = NULL };
	struct rig rig;

	(void)state;
	memset(noise, 'x', sizeof(noise));
	run("rm -rf *");
	rig_start(&rig);
	assert_int_equal(guest_tar_put(rig.guest, at("d"), &callbacks, &in, &in.stream, &err), 0);
	write_more(&in);
	rig_run(&rig, ended, &in);
	assert_int_equal(in.err.code, ERR_INVALID);
	assert_non_null(strstr(in.err.msg, "not a tar archive"));
	assert_int_equal(
		guest_tar_get(rig.guest, at("no"), &callbacks, &missing, &missing.stream, &err), 0);
	rig_run(&rig, ended, &missing);
	assert_int_equal(missing.err.code, ERR_NOT_FOUND);
	rig_stop(&rig);
}

/* --- tunnels --- */

struct echo {
	struct rig *rig;
	int listener;
	int sock;
	uint16_t port;
	struct loop_fd *accept;
	struct loop_fd *source;
};

/* Sends back what it gets, a little at a time, and closes at the end. */
static void on_echo(void *data, uint32_t events)
{
	struct echo *e = data;
	char bytes[4096];
	ssize_t n = recv(e->sock, bytes, sizeof(bytes), 0);

	(void)events;
	if (n > 0) {
		assert_int_equal(fcntl(e->sock, F_SETFL, 0), 0);
		assert_int_equal(write_all(e->sock, bytes, (size_t)n), 0);
		assert_int_equal(fcntl(e->sock, F_SETFL, O_NONBLOCK), 0);
	} else if (n == 0) {
		loop_fd_remove(TAKE_PTR(e->source));
		close_keep_errno(take_fd(&e->sock));
	}
}

static void on_accept(void *data, uint32_t events)
{
	struct echo *e = data;

	(void)events;
	e->sock = accept4(e->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(e->sock >= 0);
	assert_int_equal(loop_fd_add(e->rig->loop, e->sock, EPOLLIN, on_echo, e, &e->source), 0);
}

static void echo_start(struct rig *rig, struct echo *e)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(here);

	*e = (struct echo){ .rig = rig, .sock = -1 };
	e->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(e->listener, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(e->listener, 4), 0);
	assert_int_equal(getsockname(e->listener, (struct sockaddr *)&here, &len), 0);
	e->port = ntohs(here.sin_port);
	assert_int_equal(loop_fd_add(rig->loop, e->listener, EPOLLIN, on_accept, e, &e->accept), 0);
}

static void echo_stop(struct echo *e)
{
	loop_fd_remove(e->accept);
	loop_fd_remove(e->source);
	close_keep_errno(e->listener);
	close_keep_errno(e->sock);
}

static bool is_ready(void *data)
{
	const struct moved *m = data;

	return m->ready || m->ended;
}

static void a_tunnel_carries_both_ways(void **state)
{
	enum { SIZE = 400 * 1000 };
	autofree char *input = malloc(SIZE);
	struct error err = ERROR_INIT;
	struct moved m = { .input = input, .input_left = SIZE };
	struct rig rig;
	struct echo echo;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		input[i] = (char)(i * 131 / 7);
	rig_start(&rig);
	echo_start(&rig, &echo);
	assert_int_equal(guest_tunnel_open(rig.guest, "localhost", echo.port, &callbacks, &m,
					   &m.stream, &err),
			 0);
	rig_run(&rig, is_ready, &m);
	assert_true(m.ready);
	write_more(&m);
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_NONE);
	assert_int_equal(m.out_len, SIZE);
	assert_memory_equal(m.out, input, SIZE);
	free(m.out);
	echo_stop(&echo);
	rig_stop(&rig);
}

static void a_closed_port_is_refused(void **state)
{
	struct error err = ERROR_INIT;
	struct moved m = { .out = NULL };
	struct rig rig;
	struct echo echo;

	(void)state;
	rig_start(&rig);
	echo_start(&rig, &echo);
	echo_stop(&echo); /* nobody listens there any more */
	assert_int_equal(guest_tunnel_open(rig.guest, "127.0.0.1", echo.port, &callbacks, &m,
					   &m.stream, &err),
			 0);
	rig_run(&rig, ended, &m);
	assert_int_equal(m.err.code, ERR_GUEST);
	assert_int_equal(m.err.sys, ECONNREFUSED);
	assert_int_equal(
		guest_tunnel_open(rig.guest, "not a host", 1, &callbacks, &m, &m.stream, &err),
		-EINVAL);
	rig_stop(&rig);
}

static void without_a_link_they_fail_at_once(void **state)
{
	struct error err = ERROR_INIT;
	struct moved m = { .out = NULL };
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.unplugged = true;
	rig_break(&rig);
	rig_wait_down(&rig, 1);
	assert_true(guest_file_get(rig.guest, "/etc/passwd", &GUEST_RANGE_ALL, &callbacks, &m,
				   &m.stream, &err) < 0);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_with_its_description),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(a_folder_is_listed),
		cmocka_unit_test(a_file_is_described_without_its_bytes),
		cmocka_unit_test(a_file_is_written_whole),
		cmocka_unit_test(a_write_that_breaks_off_changes_nothing),
		cmocka_unit_test(a_change_can_be_bound_to_a_version),
		cmocka_unit_test(a_change_in_between_is_seen),
		cmocka_unit_test(a_large_file_comes_as_it_is),
		cmocka_unit_test(a_file_that_becomes_shorter_breaks_off),
		cmocka_unit_test(a_large_file_that_nobody_wants_any_more_is_let_go),
		cmocka_unit_test(at_the_limit_nothing_runs_in_the_loop),
		cmocka_unit_test(a_version_tells_what_times_hide),
		cmocka_unit_test(files_and_trees_are_removed),
		cmocka_unit_test(a_tree_goes_out_and_comes_in),
		cmocka_unit_test(a_bad_archive_is_refused_with_its_reason),
		cmocka_unit_test(a_tunnel_carries_both_ways),
		cmocka_unit_test(a_closed_port_is_refused),
		cmocka_unit_test(without_a_link_they_fail_at_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
