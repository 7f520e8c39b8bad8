// SPDX-License-Identifier: Apache-2.0
/* Moments that people kept, and the templates that the server keeps by itself. */
import { useEffect, useState } from "preact/hooks";
import { call, sketch } from "../../api/client";
import { can } from "../../api/capabilities";
import { sentence } from "../../actions/actions";
import type { Template } from "../../api/types";
import { bytes, mib, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { curl } from "../../lib/shell";
import { events, need, refreshSnapshots, snapshots } from "../../store/live";
import { vmFrom } from "../create/clone";
import { createCommand } from "../create/command";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Command, Empty, Loading, copyText } from "../../ui/basics";
import { ask } from "../../ui/dialog";
import { JsonButton } from "../../ui/json";
import { Menu } from "../../ui/menu";
import { AsShell, showRecipes, type Recipe } from "../../ui/recipes";
import { Ago } from "../../ui/time";
import { toast } from "../../ui/toast";
import { SnapshotTable } from "./table";
import "../images/images.css";

export default function SnapshotsPage() {
	useEffect(() => need(snapshots, refreshSnapshots), []);
	const list = snapshots.value;
	return (
		<div class="page">
			<header class="page-head">
				<h1>Snapshots</h1>
				<div class="actions"><PhonePreferences /><JsonButton what="The list of snapshots" request={sketch("get", "/snapshots")} /></div>
			</header>
			{list === null ? (
				<Loading what="snapshots" />
			) : list.length === 0 ? (
				<Empty icon="camera" title="No snapshots">
					<p>A snapshot keeps a VM's disk, and its memory where it runs. Go back to it, or start any number of new VMs from it.</p>
					<Command text={curl(sketch("post", "/vms/{vm}/snapshots", { vm: "web" }, { name: "before-upgrade" }), endpoint())} />
				</Empty>
			) : (
				<SnapshotTable list={list} withVm />
			)}
			{can("template_list") && <Templates />}
		</div>
	);
}

function Templates() {
	const [list, setList] = useState<Template[] | null>(null);
	const refresh = async (): Promise<void> => {
		setList((await call("get", "/templates")).items);
	};
	const changes = events.value.filter((e) => e.kind.startsWith("template.") || e.kind === "operation.ended").length;
	useEffect(() => void refresh().catch(() => undefined), [changes]);
	const act = async (what: string, work: () => Promise<unknown>): Promise<void> => {
		try {
			await work();
		} catch (error) {
			toast({ tone: "bad", title: `${what} failed`, body: sentence(error) });
		}
		await refresh().catch(() => undefined);
	};
	const remove = async (template: Template): Promise<void> => {
		const sure = await ask({
			title: `Delete the template of ${template.image}?`,
			body: `${bytes(template.size_bytes)} are freed. The next VM of this shape boots cold, and a new template is made from it.`,
			confirm: "Delete template", danger: true,
			extra: <AsShell recipe={deletion(template)} />,
		});
		if (sure) await act("Deleting", () => call("delete", "/templates/{template}", { params: { template: template.id } }));
	};
	const deletion = (template: Template): Recipe => ({ label: "Delete", request: sketch("delete", "/templates/{template}", { template: template.id }), cli: `banger template delete ${template.id}` });
	const commands = (template: Template): void =>
		showRecipes(`The template of ${template.image} from a shell`, [
			{ label: "New VM from it", request: sketch("post", "/vms", {}, vmFrom(template)), cli: createCommand(vmFrom(template)) ?? "banger vm create" },
			...(can("template_update") ? [{ label: template.pinned ? "Unpin" : "Pin", request: sketch("patch", "/templates/{template}", { template: template.id }, { pinned: !template.pinned }), cli: `banger template ${template.pinned ? "unpin" : "pin"} ${template.id}` }] : []),
			deletion(template),
		]);
	if (list === null) return null;
	return (
		<section class="stack tight">
			<header class="row">
				<h2 class="grow">Templates</h2>
				<JsonButton quiet what="The list of templates" request={sketch("get", "/templates")} />
			</header>
			<p class="dim">Made by the server after the first boot of a shape, so that later VMs start in a fraction of a second.</p>
			{list.length > 0 && (
				<div class="card flush scroll">
					<table class="table">
						<thead>
							<tr>
								<th scope="col">Image</th><th scope="col">Shape</th><th scope="col" class="right">Size</th>
								<th scope="col" class="right hide-phone">Made</th><th scope="col" class="right hide-phone">Last used</th><th scope="col"><span class="sr">Actions</span></th>
							</tr>
						</thead>
						<tbody>
							{list.map((template) => (
								<tr key={template.id}>
									<td><span class="row"><strong title={template.id}>{template.image}</strong>{template.pinned && <span class="label">pinned</span>}{template.standby && <span class="label" title={`VM ${template.standby} is paused and becomes the next one of this shape`}>one ready</span>}</span></td>
									<td class="soft">{plural(template.vcpus, "vCPU")}, {mib(template.memory_mib)}, disk {mib(template.disk_mib)}, network {template.network}, init {template.init}</td>
									<td class="right num nowrap">{bytes(template.size_bytes)}</td>
									<td class="right soft hide-phone"><Ago time={template.created} /></td>
									<td class="right soft hide-phone"><Ago time={template.last_used} /></td>
									<td class="right">
										<Menu
											title={`Actions for the template of ${template.image}`}
											items={() => [
												...(can("vm_create") ? [{ label: "New VM from it", icon: "plus" as const, href: href(["create"], { template: template.id }) }] : []),
												{ label: "As curl and CLI…", icon: "terminal" as const, run: () => commands(template) },
												{ label: "Copy id", icon: "copy" as const, run: () => void copyText(template.id, "Id") },
												...(can("template_update")
													? [{ label: template.pinned ? "Unpin" : "Pin: never remove to make room", icon: "check" as const, run: () => void act("Pinning", () => call("patch", "/templates/{template}", { params: { template: template.id }, body: { pinned: !template.pinned } })) }]
													: []),
												...(can("template_delete") ? [{ label: "Delete", icon: "trash" as const, danger: true, run: () => void remove(template) }] : []),
											]}
										/>
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
		</section>
	);
}
