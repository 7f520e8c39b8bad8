// SPDX-License-Identifier: Apache-2.0
/* Stands in place of what a VM can do only while it runs. */
import type { ComponentChildren } from "preact";
import { can } from "../../api/capabilities";
import { actionById, fits, perform } from "../../actions/actions";
import type { Vm } from "../../api/types";
import { Button, Empty } from "../../ui/basics";
import type { IconName } from "../../ui/icon";

export function WhenUp({ vm, icon, children }: { vm: Vm; icon: IconName; children: ComponentChildren }) {
	const order = vm.state === "suspended" ? ["resume", "start"] : ["start", "resume", "recover"];
	const action = order.map(actionById).find((a) => a && can(a.operation) && fits(a, vm));
	return (
		<Empty icon={icon} title={`“${vm.name}” is ${vm.state}`} action={action && <Button kind="primary" icon={action.icon} label={action.label} onClick={() => void perform(action, [vm])} />}>
			<p>{children}</p>
		</Empty>
	);
}
