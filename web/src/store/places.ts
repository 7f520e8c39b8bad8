// SPDX-License-Identifier: Apache-2.0
import { href } from "../lib/router";
import { vms, vmsLoaded } from "./live";

/** Where a VM is to be seen: on its page or, once it is gone, in the events that tell what happened to it. */
export function vmPlace(id: string, name: string | undefined): { href: string; gone: boolean } {
	const vm = vms.value.get(id);
	const gone = !vm && vmsLoaded.value;
	return { gone, href: gone ? pastOf(id) : href(["vms", vm?.name ?? name ?? id]) };
}

/** `key`: an id, or a name that several VMs may have had. */
export const pastOf = (key: string): string => href(["events"], { q: `on:${key}` });
