/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a VMM by cgroup v2, without root. Where systemd runs the server with Delegate= and
 * DelegateSubgroup=, the server is in a leaf, and the cgroup above it is the server's own: VMs get
 * cgroups beside that leaf. Anything else (a session, a slice, the root) belongs to somebody else
 * and is left alone; nothing is ever moved but a VMM that was just started.
 */
#pragma once

#include "lib/base/error.h"
#include "lib/proc/proc.h"

struct cgroup_limits {
	uint64_t memory_bytes;
	uint32_t cpu_percent; /* 100: one processor */
	uint32_t pids;
};

/* What a VM may take: what it was given, and what its monitor needs beside that. */
struct cgroup_limits cgroup_limits_of(uint32_t vcpus, uint32_t memory_mib, bool emulated);

/*
 * The delegated cgroup, absolute path, caller frees; its controllers are handed down then. `root`
 * is where cgroups are mounted, `own` the text of /proc/self/cgroup. An error says why there is
 * none.
 */
int cgroup_find(const char *root, const char *own, char **ret_dir, struct error *err) MUST_USE;
/* The same on this machine. */
int cgroup_find_own(char **ret_dir, struct error *err) MUST_USE;

/* A cgroup for a VM. *ret_procs: path of its file that takes processes, caller frees. */
int cgroup_create(const char *dir, const char *id, const struct cgroup_limits *limits,
		  char **ret_procs, struct error *err) MUST_USE;
/* Puts a process into it; `procs` NULL: does nothing. */
int cgroup_join(const char *procs, const struct proc *proc, struct error *err) MUST_USE;
/* Once its process has ended. `dir` NULL, and one that is not there, are fine. */
void cgroup_remove(const char *dir, const char *id);

/* Whether the kernel has ended a process of the VM because its memory was at the limit. `dir` NULL:
 * no. */
bool cgroup_ran_out(const char *dir, const char *id);

/* Whether process `pid` is in a cgroup of that VM, made here or by the helper. */
bool cgroup_holds(pid_t pid, const char *id);
