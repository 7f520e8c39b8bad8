/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether hardware virtualisation can really be used.
 *
 * A /dev/kvm that opens is not proof: where the module offers software virtual machines on a
 * processor without vmx or svm, KVM_CREATE_VM succeeds and stock guests then hang for ever. So
 * three things must hold: the device opens, a VM can be made, and the processor has the feature.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What was found on the host. */
struct kvm_facts {
	int open_error;   /* 0 or the positive errno of opening /dev/kvm */
	int create_error; /* 0 or the positive errno of KVM_CREATE_VM; only after an open */
	int api_version;  /* KVM_GET_API_VERSION; 12 on every kernel of this age */
	bool cpu_has_vmx;
	bool cpu_has_svm;
};

struct kvm_verdict {
	bool usable;
	char detail[256]; /* one sentence */
	char remedy[256]; /* "" when usable */
};

/* Looks at the host; changes nothing. */
void kvm_look(struct kvm_facts *ret_facts);

/* Pure: what the facts mean. */
void kvm_judge(const struct kvm_facts *facts, struct kvm_verdict *ret_verdict);

/* Both in one. */
bool kvm_usable(struct kvm_verdict *ret_verdict);

/* True when the `flags` line of the first processor in the text of /proc/cpuinfo has the word. */
bool cpuinfo_has_flag(const char *cpuinfo, const char *flag);
