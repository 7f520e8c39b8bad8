/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of VMs: what is wanted, and enough of what was done to find it again after a restart. */
#pragma once

#include "lib/base/id.h"
#include "server/store/store.h"

struct vm_row {
	char id[ID_LEN + 1];
	char name[64];
	char state[16];
	char reason[512];
	int64_t since_ms;
	char desired[16];
	char image_id[72];
	char image_name[256];
	char kernel_id[72];
	int64_t vcpus;
	int64_t memory_mib;
	int64_t disk_mib;
	char network[8];
	bool nat;
	bool isolated;   /* from other VMs of the bridge */
	int64_t address; /* IPv4 on the bridge, as a number; 0: none given yet */
	char init[8];
	char labels[4096]; /* a JSON object of strings */
	char vmm[16];      /* "" until started once */
	int64_t accel;
	int64_t pid; /* 0: no process */
	int64_t start_time;
	char boot_id[40];
	char booted_from[80];      /* "cold", or the template, snapshot or (a fork) VM */
	char snapshot[ID_LEN + 1]; /* the latest in the history of its disk; "" : none */
	int64_t created_ms;
	int64_t started_ms;
	int64_t ends_ms;     /* hard end; 0: none */
	int64_t idle_stop_s; /* 0: never; likewise the next */
	int64_t idle_suspend_s;
	char wake[8]; /* "auto", or "never": a suspended VM wakes by its own verbs only */
};

/* ERR_EXISTS when the name is taken. */
int vms_insert(struct store *store, const struct vm_row *v, struct error *err) MUST_USE;
/* Compare-and-set: fails with ERR_STATE unless the stored state is `from`. Writes state, reason,
 * since, desired. */
int vms_set_state(struct store *store, const struct vm_row *v, const char *from,
		  struct error *err) MUST_USE;
/* Writes vmm, accel, pid, start_time, boot_id, booted_from, started, snapshot. */
int vms_set_process(struct store *store, const struct vm_row *v, struct error *err) MUST_USE;
/* Writes name, sizes, nat, address, labels, times. */
int vms_set_spec(struct store *store, const struct vm_row *v, struct error *err) MUST_USE;
int vms_delete(struct store *store, const char *id, struct error *err) MUST_USE;

/* Calls fn for each row by id; a negative return of fn ends the walk and is returned. */
typedef int vms_each_fn(const struct vm_row *row, void *data, struct error *err);
int vms_each(struct store *store, vms_each_fn *fn, void *data, struct error *err) MUST_USE;
