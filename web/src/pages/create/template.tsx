// SPDX-License-Identifier: Apache-2.0
/* A VM that is a clone: takes the shape of a template, so that it is there in a fraction of a second. */
import { useEffect, useState } from "preact/hooks";
import { call } from "../../api/client";
import { can } from "../../api/capabilities";
import type { Template, VmCreate } from "../../api/types";
import { mib, plural } from "../../lib/format";
import { route } from "../../lib/router";
import { isFrom, vmFrom } from "./clone";

export function TemplateField({ draft, onPick }: { draft: Partial<VmCreate>; onPick: (shape: Partial<VmCreate>) => void }) {
	const [list, setList] = useState<Template[]>([]);
	useEffect(() => {
		if (!can("template_list")) return;
		call("get", "/templates").then(({ items }) => {
			setList(items);
			const asked = items.find((template) => template.id === route.peek().query.get("template"));
			if (asked) onPick(vmFrom(asked));
		}, () => undefined);
	}, []);
	if (list.length === 0) return null;
	const picked = list.find((template) => isFrom(draft, template));
	return (
		<div class="field">
			<label class="name" for="vm-template">Clone of</label>
			<select
				id="vm-template" aria-describedby="vm-template-note" class="select" value={picked?.id ?? ""}
				onChange={(e) => {
					const template = list.find((one) => one.id === e.currentTarget.value);
					onPick(template ? vmFrom(template) : { boot: undefined });
				}}
			>
				<option value="">Whatever fits the choices below</option>
				{list.map((template) => (
					<option key={template.id} value={template.id}>
						{template.image} · {plural(template.vcpus, "vCPU")}, {mib(template.memory_mib)}, disk {mib(template.disk_mib)}, network {template.network}
					</option>
				))}
			</select>
			<span id="vm-template-note" class="help">{picked ? "It starts from a booted copy, in a fraction of a second." : "A template fills in the choices below."}</span>
		</div>
	);
}
