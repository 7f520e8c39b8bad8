/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's socket, gates and operations over a host that is not there: a datagram in, and what
 * may have happened afterwards is checked, not only that nothing crashed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "tests/fuzz/fuzz.h"

static int fake_pidfd_open(pid_t pid, unsigned int flags)
{
	(void)flags;
	/* The gates let nothing else through. */
	assert(pid > 1 && pid != 4242);
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int fake_pidfd_signal(int pidfd, int sig, siginfo_t *info, unsigned int flags)
{
	(void)info;
	(void)flags;
	(void)pidfd;
	(void)sig;
	/* There is no process in the empty folder that stands for /proc: none can be proved. */
	abort();
}

static int fake_lstat(const char *path, struct stat *ret_st)
{
	assert(path[0] == '/');
	*ret_st = (struct stat){ .st_mode = S_IFREG | 0755 };
	if (!strstr(path, "jailer") && !strstr(path, "firecracker"))
		ret_st->st_mode = S_IFDIR | 0755;
	return 0;
}

/* Sets that the rules have, and keys that fill theirs. */
static int fake_elements(const struct nft_element *elements, size_t n)
{
	assert(n == NFT_GUEST_ELEMENTS || n == NFT_NAT_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		const struct nft_element *e = &elements[i];
		bool of_tap = e->key_size > 16;

		assert(strstr(nft_rules, e->set));
		assert(e->key_size % (of_tap ? 4 : 2) == 0 && e->key_size <= sizeof(e->key));
		assert(of_tap == str_has_prefix((const char *)e->key, TAP_PREFIX));
		assert(!of_tap || strlen((const char *)e->key) == TAP_NAME_SIZE - 1 ||
		       streq((const char *)e->key, TAP_PREFIX));
	}
	return 0;
}

static int fake_run(const char *const *argv, const char *input)
{
	assert(argv[0][0] == '/' && (!input || input == nft_rules || input == nft_limit));
	return 0;
}

static int fake_spawn(const char *const *argv, int out_fd, struct proc *ret_proc)
{
	(void)out_fd;
	for (; *argv; argv++)
		assert(!strstr(*argv, ".."));
	*ret_proc = (struct proc){ .pid = 99, .pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	return 0;
}

static int fake_bridge(const struct config *config)
{
	(void)config;
	return 0;
}

static unsigned int fake_link_exists(const char *name)
{
	return streq(name, HELPER_BRIDGE);
}

static int fake_tap(const char *name, unsigned int flags, uid_t owner)
{
	assert(str_has_prefix(name, "bgr") && strlen(name) == 15 && owner == 1000);
	assert((flags & ~7U) == 0);
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int fake_link_delete(const char *name)
{
	assert(str_has_prefix(name, "bgr") && strlen(name) == 15);
	return 0;
}

static const struct sys sys_fake = {
	.pidfd_open = fake_pidfd_open,
	.pidfd_send_signal = fake_pidfd_signal,
	.lstat = fake_lstat,
	.run = fake_run,
	.spawn = fake_spawn,
	.bridge = fake_bridge,
	.elements = fake_elements,
	.if_nametoindex = fake_link_exists,
	.tap = fake_tap,
	.link_delete = fake_link_delete,
};

static const struct config config = {
	.owner_uid = 1000,
	.owner_gid = 1000,
	.subnet = 0x0ad10000,
	.prefix = 16,
	.ula = { 0xfd },
	.runtime_dir = "/run/banger",
	.jail_dir = "/nowhere",
	.firecracker = "/usr/bin/firecracker",
	.jailer = "/usr/bin/jailer",
	.socket = "/nowhere/sock",
};

/* An empty folder in place of /proc, the cgroup and the jails; made once. */
static int empty_dir(void)
{
	static int fd = -1;
	char path[] = "/tmp/banger-fuzz-XXXXXX";

	if (fd < 0) {
		assert(mkdtemp(path));
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert(fd >= 0 && rmdir(path) == 0);
	}
	return fd;
}

static void check_reply(int fd, const uint8_t *data)
{
	struct {
		struct helper_reply head;
		uint8_t body[HELPER_REPLY_BODY_MAX];
	} reply;
	char control[256];
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	assert(n >= (ssize_t)sizeof(reply.head));
	assert(reply.head.result <= 0 && reply.head.reason < HELPER_REASON_MAX_);
	assert((reply.head.result == 0) == (reply.head.reason == HELPER_OK));
	assert((size_t)n == sizeof(reply.head) + reply.head.length);
	assert(memcmp(reply.head.op_id, data + 16, HELPER_ID_LEN) == 0);
	if (c) {
		int got;

		memcpy(&got, CMSG_DATA(c), sizeof(got));
		close_keep_errno(got);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct helper h = { .config = &config,
			    .sys = &sys_fake,
			    .self = 4242,
			    .root_fd = empty_dir(),
			    .proc_fd = empty_dir(),
			    .cgroup_fd = empty_dir(),
			    .jail_fd = empty_dir(),
			    .unit_path = "/system.slice/" HELPER_UNIT };
	int pair[2];
	int r;

	log_init("fuzz", LOG_ERROR);
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	if (send(pair[0], data, size, MSG_NOSIGNAL) == (ssize_t)size) {
		r = server_receive(&h, pair[1]);
		if (r == 0 && size > 0)
			check_reply(pair[0], data);
	}
	close_keep_errno(pair[0]);
	close_keep_errno(pair[1]);
	return 0;
}
