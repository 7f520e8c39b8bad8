/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of banger-helper. Every function is one request on a connection of its own, blocks up to
 * its deadline, and belongs on a worker thread. The calling thread's operation id (log_op()) goes
 * with it into the helper's log.
 *
 * Where no helper listens the error is ERR_UNAVAILABLE and says how to get one; where it serves
 * another user, ERR_FORBIDDEN.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

enum { HELPER_DEADLINE_MS = 15 * 1000 };

/* Where the helper listens; borrowed. All that a call needs. */
struct helper_client {
	const char *socket; /* NULL: HELPER_SOCKET */
	int timeout_ms;     /* 0: HELPER_DEADLINE_MS */
};

struct helper_bridge {
	uint32_t subnet; /* 10.209.0.0 = 0x0ad10000 */
	uint32_t prefix;
	uint8_t ula[16]; /* /64 */
};

struct helper_limits { /* 0: none */
	uint64_t memory_bytes;
	uint32_t cpu_percent; /* 100: one processor */
	uint32_t pids;
};

/* True when a socket is there; says nothing about whether it answers. */
bool helper_present(const struct helper_client *helper);

/* The helper's version and what it lacks, of enum helper_lacks: 0 or a negative errno. For doctor.
 */
int helper_status(const char *socket, int timeout_ms, char *version, size_t size,
		  unsigned int *ret_lacks);

/* Makes the bridge, its addresses and the rules; changes nothing where they are there. */
int helper_bridge_ensure(const struct helper_client *helper, struct helper_bridge *ret_bridge,
			 struct error *err) MUST_USE;

struct helper_tap {
	const char *vm_id;
	uint32_t address;
	bool open;    /* may talk to other guests that are open */
	bool persist; /* for a VMM that opens it by its name */
	bool nat;     /* helper_nat_ensure() in the same step */
};

/* *ret_fd is the caller's; `name` of 16 bytes gets the interface. */
int helper_tap_create(const struct helper_client *helper, const struct helper_tap *tap, int *ret_fd,
		      char *name, struct error *err) MUST_USE;
/* Absent is success, here and in the other functions that take away. */
int helper_tap_delete(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err);

int helper_nat_ensure(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err) MUST_USE;
int helper_nat_remove(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err);

/* Routes the domain `vm` of systemd-resolved to 127.0.0.1:port. */
int helper_dns_route(const struct helper_client *helper, uint16_t port, struct error *err) MUST_USE;
int helper_dns_clear(const struct helper_client *helper, struct error *err);

int helper_cgroup_create(const struct helper_client *helper, const char *vm_id,
			 const struct helper_limits *limits, struct error *err) MUST_USE;
int helper_cgroup_remove(const struct helper_client *helper, const char *vm_id, struct error *err);

/*
 * Starts Firecracker in its jail, as the owner. `log_fd` (-1: none), the writing end of a pipe,
 * becomes its output. The pidfd is the caller's.
 */
int helper_vm_launch(const struct helper_client *helper, const char *vm_id, int log_fd,
		     pid_t *ret_pid, int *ret_pidfd, struct error *err) MUST_USE;
int helper_jail_remove(const struct helper_client *helper, const char *vm_id, struct error *err);

/* `signal` is a name: "TERM", "SIGTERM". */
int helper_process_signal(const struct helper_client *helper, pid_t pid, const char *signal,
			  struct error *err) MUST_USE;
int helper_process_kill(const struct helper_client *helper, pid_t pid, struct error *err) MUST_USE;
