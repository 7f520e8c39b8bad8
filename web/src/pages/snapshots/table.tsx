// SPDX-License-Identifier: Apache-2.0
import { can } from "../../api/capabilities";
import { sketch } from "../../api/client";
import type { Snapshot } from "../../api/types";
import { bytes, mib, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { curl, quote, type RequestSketch } from "../../lib/shell";
import { vms } from "../../store/live";
import { endpoint } from "../create/example";
import { Command, copyText } from "../../ui/basics";
import { showDialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { showJson } from "../../ui/json";
import { Menu, type MenuEntry } from "../../ui/menu";
import { Ago } from "../../ui/time";
import { exportSnapshot, nameOf, removeSnapshot, restore } from "./doing";
import { tree, whoIsAt } from "./tree";
import "./snapshots.css";

function entries(snapshot: Snapshot): MenuEntry[] {
	const vm = vms.value.get(snapshot.vm);
	const params = { snapshot: snapshot.id };
	const recipes: [string, RequestSketch, string][] = [
		["Show", sketch("get", "/snapshots/{snapshot}", params), `banger snapshot show ${snapshot.id}`],
		...(vm ? [["Put back", sketch("post", "/vms/{vm}/restore", { vm: vm.name }, params), `banger vm restore ${quote(vm.name)} ${snapshot.id}`] as [string, RequestSketch, string]] : []),
		["New VM from it", sketch("post", "/vms", {}, { from_snapshot: snapshot.id }), `banger vm create --from-snapshot ${snapshot.id}`],
		...(can("snapshot_export") ? [["Export", sketch("get", "/snapshots/{snapshot}/archive", params), `banger snapshot export ${snapshot.id} ${nameOf(snapshot)}.tar`] as [string, RequestSketch, string]] : []),
		["Delete", sketch("delete", "/snapshots/{snapshot}", params), `banger snapshot delete ${snapshot.id}`],
	];
	const list: MenuEntry[] = [];
	if (can("vm_restore") && vm) list.push({ label: `Put ${vm.name} back to it`, icon: "restart", run: () => void restore(vm, snapshot) });
	if (can("vm_create")) list.push({ label: "New VM from it", icon: "plus", href: href(["create"], { from_snapshot: snapshot.id }) });
	if (can("snapshot_export")) list.push({ label: "Export as tar", icon: "download", run: () => exportSnapshot(snapshot) });
	list.push({
		label: "As curl and CLI…", icon: "terminal",
		run: () =>
			showDialog({
				title: `“${nameOf(snapshot)}” from a shell`, wide: true,
				body: (
					<div class="stack">
						{recipes.map(([what, request, cli]) => (
							<section key={what} class="stack tight">
								<h3>{what}</h3>
								<Command text={curl(request, endpoint())} what={`curl command: ${what}`} />
								<Command text={cli} what={`CLI command: ${what}`} />
							</section>
						))}
					</div>
				),
			}),
	});
	list.push(
		{ label: "JSON…", icon: "json", run: () => showJson(`“${nameOf(snapshot)}”`, sketch("get", "/snapshots/{snapshot}", params)) },
		{ label: "Copy id", icon: "copy", run: () => void copyText(snapshot.id, "Id") },
	);
	if (can("snapshot_delete")) list.push("line", { label: "Delete", icon: "trash", danger: true, run: () => void removeSnapshot(snapshot) });
	return list;
}

function Marks({ snapshot }: { snapshot: Snapshot }) {
	const { current, others } = whoIsAt(snapshot, vms.value.values());
	return (
		<>
			{current && <span class="label current" title={`The disk of ${snapshot.vm_name} goes on from here`}>current</span>}
			{others.length > 0 && <span class="dim small nowrap" title={`Their disks go on from here: ${others.join(", ")}`}>{plural(others.length, "other VM")}</span>}
		</>
	);
}

export function SnapshotTable({ list, withVm }: { list: Snapshot[]; withVm?: boolean }) {
	return (
		<div class="card flush scroll">
			<table class="table">
				<thead>
					<tr>
						<th scope="col">Snapshot</th>
						{withVm && <th scope="col">Of</th>}
						<th scope="col" class="hide-phone">Holds</th>
						<th scope="col" class="hide-phone">Shape</th>
						<th scope="col" class={withVm ? "right hide-phone" : "right"}>Size</th>
						<th scope="col" class="right hide-phone">Taken</th>
						<th scope="col"><span class="sr">Actions</span></th>
					</tr>
				</thead>
				<tbody>
					{tree(list).map(({ snapshot, depth }) => (
						<tr key={snapshot.id}>
							<td>
								<span class={`row depth-${depth}`}>
									{depth > 0 && <span class="elbow" aria-hidden="true" />}
									<span class="row" title={snapshot.memory ? "With memory and disk" : "With its disk"}><Icon name={snapshot.memory ? "camera" : "snapshots"} /></span>
									<strong class="clip" title={snapshot.id}>{nameOf(snapshot)}</strong>
									<Marks snapshot={snapshot} />
								</span>
							</td>
							{withVm && (
								<td>{vms.value.has(snapshot.vm) ? <a href={href(["vms", snapshot.vm_name])}>{snapshot.vm_name}</a> : <span class="dim">{snapshot.vm_name} (gone)</span>}</td>
							)}
							<td class="soft hide-phone">{snapshot.memory ? "memory and disk" : "disk"}</td>
							<td class="soft hide-phone">{snapshot.image}, {plural(snapshot.vcpus, "vCPU")}, {mib(snapshot.memory_mib)}</td>
							<td class={`right num nowrap${withVm ? " hide-phone" : ""}`}>{bytes(snapshot.size_bytes)}</td>
							<td class="right soft hide-phone"><Ago time={snapshot.created} /></td>
							<td class="right"><Menu title={`Actions for ${nameOf(snapshot)}`} items={() => entries(snapshot)} /></td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}
