/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest runs after an answer that was lost: asked once more, and never guessed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/sock.h"
#include "tests/unit/test.h"

enum { CONNECTIONS = 2, COMMANDS = 4 };

/* What a monitor says to the commands of each connection, in order; at NULL it hangs up. */
struct script {
	const char *says[CONNECTIONS][COMMANDS];
};

#define CAPABLE "{\"return\": {}, \"id\": 1}\n"

static const struct row {
	const char *what;
	struct script script;
	int result;
} rows[] = {
	{ "it runs", { { { CAPABLE, "{\"return\": {}, \"id\": 2}\n" } } }, 0 },
	{ "it refuses", { { { CAPABLE, "{\"error\": {\"desc\": \"no\"}, \"id\": 2}\n" } } }, -EIO },
	{ "the answer is lost, it runs",
	  { { { CAPABLE }, { CAPABLE, "{\"return\": {\"status\": \"running\"}, \"id\": 2}\n" } } },
	  0 },
	{ "the command is lost, it is told again",
	  { { { CAPABLE },
	      { CAPABLE, "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\n",
		"{\"return\": {}, \"id\": 3}\n" } } },
	  0 },
	{ "it has ended", { { { CAPABLE } } }, -EUCLEAN },
	{ "it is in between",
	  { { { CAPABLE }, { CAPABLE, "{\"return\": {\"status\": \"shutdown\"}, \"id\": 2}\n" } } },
	  -EUCLEAN },
};

struct monitor {
	const struct script *script;
	int fd;
};

static void serve(int fd, const char *const *says)
{
	static const char greeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";
	char command[512];

	if (send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0)
		return;
	for (size_t i = 0; i < COMMANDS && read(fd, command, sizeof(command)) > 0 && says[i]; i++)
		if (send(fd, says[i], strlen(says[i]), MSG_NOSIGNAL) < 0)
			return;
}

static void *monitor(void *data)
{
	const struct monitor *m = data;

	for (size_t i = 0; i < CONNECTIONS; i++) {
		autoclose int fd = m->script->says[i][0] ? accept(m->fd, NULL, NULL) : -1;

		if (fd >= 0)
			serve(fd, m->script->says[i]);
	}
	return NULL;
}

static void check(const struct row *row)
{
	char dir[] = "/tmp/banger-cont-XXXXXX";
	struct vmm_config config = { .id = "0000000000000000", .run_dir = mkdtemp(dir) };
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + 20 * 1000000, .cancel_fd = -1 };
	autoclose int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct monitor m = { .script = &row->script, .fd = sock_listen_at(dir_fd, "qmp.sock") };
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	struct error err = ERROR_INIT;
	pthread_t thread;
	int r;

	assert_true(m.fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, monitor, &m), 0);
	assert_int_equal(qemu_monitor(&config, &wait, &q, &err), 0);
	if (!row->script.says[1][0])
		(void)unlinkat(dir_fd, "qmp.sock", 0);
	r = qemu_cont(&config, &q, &err);
	if (r != row->result || (r == 0) != (err.code == ERR_NONE))
		fail_msg("%s: %d, %s", row->what, r, err.msg);
	qmp_close(&q);
	(void)pthread_join(thread, NULL);
	(void)close(m.fd);
	(void)unlinkat(dir_fd, "qmp.sock", 0);
	(void)rmdir(dir);
}

static void an_answer_that_is_lost_is_asked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(an_answer_that_is_lost_is_asked_for) };

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
