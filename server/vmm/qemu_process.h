/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU's start, restore and control share: making the process and reaching its monitor. */
#pragma once

#include "server/vmm/confine.h"
#include "server/vmm/qmp.h"
#include "server/vmm/vmm.h"

struct qemu_memory {
	int fd;       /* borrowed */
	bool private; /* map it private */
};

/*
 * Makes sockets, log and process, writes the pid file, and leaves *ret_qmp connected. The caller
 * owns both results. On failure nothing is left running and `err` quotes QEMU's last words.
 */
int qemu_launch_process(const struct vmm_config *config, const struct qemu_memory *memory,
			bool incoming, const struct vmm_wait *wait, struct proc *ret_proc,
			struct qmp *ret_qmp, struct error *err) MUST_USE;

/* Adds the only files that QEMU opens by itself. */
void qemu_allow_files(struct confine_rules *rules, const struct vmm_config *config);

/* Puts QEMU's last words behind the error when the process has ended by itself. */
int qemu_explain(const struct vmm_config *config, const struct proc *proc, int r,
		 struct error *err);

/* The monitor of a running VM. */
int qemu_monitor(const struct vmm_config *config, const struct vmm_wait *wait, struct qmp *ret_qmp,
		 struct error *err) MUST_USE;

/* "running", "paused", "inmigrate", …: `query-status`; `buf` of at least 32 bytes. */
int qemu_status(struct qmp *q, char *buf, size_t size, struct error *err) MUST_USE;

/* Lets the guest go on. An answer that is lost is asked for on a new connection; -EUCLEAN: whether
 * it has run can't be told. */
int qemu_cont(const struct vmm_config *config, struct qmp *q, struct error *err) MUST_USE;

/* An empty memfd of the VM's memory size. */
int qemu_memory_new(const struct vmm_config *config) MUST_USE;

static inline void qmp_close_p(struct qmp *q)
{
	qmp_close(q);
}
