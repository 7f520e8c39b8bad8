/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line as a pure function of what is asked, so that tests can read all of it.
 */
#pragma once

#include "lib/base/error.h"
#include "server/vmm/vmm.h"

/* Descriptors have these numbers in QEMU; the memory's is also how we find it again. */
enum qemu_fd {
	QEMU_FD_QMP = 3,
	QEMU_FD_CONSOLE,
	QEMU_FD_LINK,
	QEMU_FD_MEMORY,
	QEMU_FD_NET,
	QEMU_FD_MAX_,
};

enum { QEMU_ARGS_MAX = 96 };

struct qemu_args {
	char *v[QEMU_ARGS_MAX + 1]; /* ended by NULL; owned */
	size_t n;
};

/* The user-mode network and its port of the hub, as QEMU knows them. */
#define QEMU_NET_USER "user0"
#define QEMU_NET_PORT "net1"

enum qemu_net {
	QEMU_NET_NONE,
	QEMU_NET_CLOSED, /* a device that leads nowhere */
	QEMU_NET_STREAM, /* a connected stream socket to passt */
	QEMU_NET_TAP,    /* an open tap */
};

struct qemu_launch {
	const char *binary;
	const struct vmm_config *config;
	enum qemu_net net;
	uint32_t tsc_khz; /* the host's time stamp counter, which emulated guests see; 0: unknown */
	bool memory_private; /* map the memory descriptor private (a clone) instead of shared */
	bool incoming;       /* wait for a snapshot instead of booting */
};

/* ERR_INVALID for a configuration that can't be expressed. qemu_args_done() on success. */
int qemu_args_build(const struct qemu_launch *launch, struct qemu_args *ret_args,
		    struct error *err) MUST_USE;
void qemu_args_done(struct qemu_args *args);

/* "QEMU emulator version 7.2.22 (…" -> 7.2.22. 0 or -EINVAL. */
struct qemu_version {
	unsigned major, minor, patch;
};
int qemu_version_parse(const char *text, struct qemu_version *ret_version) MUST_USE;

/* Oldest QEMU with all that is used here (-netdev stream). */
#define QEMU_VERSION_MIN ((struct qemu_version){ 7, 2, 0 })
bool qemu_version_at_least(const struct qemu_version *v, const struct qemu_version *min);
