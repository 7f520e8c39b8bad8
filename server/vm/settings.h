/* SPDX-License-Identifier: Apache-2.0 */
/* What may be changed of a VM that exists. */
#pragma once

#include "server/vm/vm.h"

struct vm_change {
	uint32_t vcpus; /* 0: as it is; likewise the next two */
	uint32_t memory_mib;
	uint32_t disk_mib;
	int nat;              /* -1: as it is */
	const json_t *labels; /* all of them; NULL: as they are. Borrowed */
	int64_t ttl_s;        /* from now; 0: no end; -1: as it is */
	int64_t idle_stop_s;  /* 0: never; -1: as it is; likewise the next */
	int64_t idle_suspend_s;
	const char *wake; /* "auto", "never"; NULL: as it is */
};

/* ERR_STATE as vm_set() would answer, its NAT left aside. On the loop's thread. */
int vm_set_check(const struct vm *vm, const struct vm_change *change, struct error *err) MUST_USE;

/*
 * All of it or nothing. ERR_STATE names what can change only while the VM is stopped. On the loop's
 * thread.
 */
int vm_set(struct vm *vm, const struct vm_change *change, const char *who,
	   struct error *err) MUST_USE;
