/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's place on the bridge: an address for as long as it exists, a tap and its rules for as long
 * as it has a process. All of it goes through the root helper, whose objects are named after the
 * VM's id: what a crash left behind is found again without being remembered.
 */
#pragma once

#include "server/vm/vm.h"

struct vm_boot;
struct verb_job;

/* ERR_UNAVAILABLE with what to do unless a helper listens. Any thread. */
int vm_network_check(const struct vms *vms, struct error *err) MUST_USE;

/*
 * Before the VMM starts: gives the VM an address, makes tap and rules, and fills boot->config.net
 * and the network's word on boot->cmdline. Does nothing for a VM that is not on the bridge. The
 * descriptor in boot->config.net is closed by vm_network_drop_tap(). Worker.
 */
int vm_network_open(struct verb_job *job, struct vm_boot *boot, struct error *err) MUST_USE;
/* The VMM has its own descriptor, or there is none. */
void vm_network_drop_tap(struct vm_boot *boot);
/*
 * After the process has gone: takes tap, rules and jail away; can be repeated at any time. Fails
 * where a helper is installed and does not do it. Worker.
 */
int vm_network_close(const struct verb_job *job, struct error *err) MUST_USE;
/* The same as an operation of its own, for an end that nobody asked for. On the loop's thread. */
void vm_network_close_later(struct vm *vm);

/*
 * At the start: makes the bridge again where there are VMs on it, learns its network, and has their
 * names resolved. On the loop's thread.
 */
void vms_network_start(struct vms *vms);

/*
 * NAT of a VM, switched while it runs. *ret_op is NULL when there is nothing to ask the helper for:
 * the VM is not on the bridge, does not run, or has it so already. The row is written by the
 * operation. On the loop's thread.
 */
int vm_network_set_nat(struct vm *vm, bool nat, const char *who, struct op **ret_op,
		       struct error *err) MUST_USE;

/* What a guest of the bridge is told as banger.net=; "" before it has an address. */
void vm_network_word(const struct vm *vm, char *buf, size_t size);

/* For the DNS of the bridge; `data` is the struct vms. On the loop's thread. */
struct dns_host;
bool vms_dns_by_name(void *data, const char *name, struct dns_host *ret_host);
bool vms_dns_by_v4(void *data, uint32_t v4, struct dns_host *ret_host);
bool vms_dns_by_v6(void *data, const uint8_t v6[16], struct dns_host *ret_host);
