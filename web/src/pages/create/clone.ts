// SPDX-License-Identifier: Apache-2.0
import type { Template, VmCreate } from "../../api/types";

/** What decides whether a VM can be a clone of it. */
export function vmFrom(template: Template): VmCreate {
	const { image, vcpus, memory_mib, disk_mib, network, init } = template;
	return { image, vcpus, memory_mib, disk_mib, network, init, boot: "template" };
}

export function isFrom(draft: Partial<VmCreate>, template: Template): boolean {
	return Object.entries(vmFrom(template)).every(([field, value]) => draft[field as keyof VmCreate] === value);
}
