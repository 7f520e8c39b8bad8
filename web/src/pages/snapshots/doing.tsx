// SPDX-License-Identifier: Apache-2.0
/* What can be done with snapshots, from wherever they are shown. */
import { useState } from "preact/hooks";
import { call, sketch } from "../../api/client";
import { needDocument, schemaOf } from "../../api/capabilities";
import { save } from "../../api/files";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Operation, Snapshot, Vm } from "../../api/types";
import { bytes, clock, instant } from "../../lib/format";
import { curl, quote } from "../../lib/shell";
import { utc } from "../../store/clock";
import { putOperation, refreshSnapshots, refreshVm } from "../../store/live";
import { endpoint } from "../create/example";
import { alive } from "../vms/columns";
import { Button, Command, Switch } from "../../ui/basics";
import { ask, closeDialog, showDialog } from "../../ui/dialog";
import { AsShell } from "../../ui/recipes";
import { toast } from "../../ui/toast";

export const nameOf = (snapshot: Snapshot): string => snapshot.name ?? snapshot.id;

function operationIn(reply: unknown): reply is Operation {
	return typeof reply === "object" && reply !== null && "kind" in reply && "stages" in reply;
}

async function attempt(what: string, work: () => Promise<unknown>): Promise<boolean> {
	try {
		const reply = await work();
		if (operationIn(reply)) putOperation(reply);
		return true;
	} catch (error) {
		toast({ tone: "bad", title: `${what} failed`, body: sentence(error) });
		return false;
	} finally {
		void refreshSnapshots().catch(() => undefined);
	}
}

export function takeSnapshot(vm: Vm): void {
	needDocument();
	showDialog({ title: `Snapshot of “${vm.name}”`, body: <Take vm={vm} /> });
}

function Take({ vm }: { vm: Vm }) {
	const [name, setName] = useState("");
	const [memory, setMemory] = useState(true);
	const schema = schemaOf("SnapshotCreate")?.properties?.["name"];
	const wrong = name && schema ? problemOf(name, schema) : undefined;
	const body = { ...(name ? { name } : {}), ...(alive(vm) && !memory ? { memory: false } : {}) };
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				closeDialog();
				void attempt("The snapshot", () => call("post", "/vms/{vm}/snapshots", { params: { vm: vm.id }, body }));
			}}
		>
			<div class="stack">
				<div class="field">
					<label class="name" for="snapshot-name">Name</label>
					<input id="snapshot-name" class="input mono" data-autofocus placeholder="before-upgrade" value={name} spellcheck={false}
						aria-invalid={Boolean(wrong)} onInput={(e) => setName(e.currentTarget.value)} />
					{wrong && <span class="wrong" role="alert">{wrong}</span>}
				</div>
				{alive(vm) ? (
					<Switch label="With memory: going back continues at this very moment" checked={memory} onChange={setMemory} />
				) : (
					<p class="soft">It is {vm.state}: its disk alone is kept.</p>
				)}
				<Command text={curl(sketch("post", "/vms/{vm}/snapshots", { vm: vm.name }, body), endpoint())} />
				<Command text={`banger snapshot create ${quote(vm.name)}${name ? ` --name ${quote(name)}` : ""}${alive(vm) && !memory ? " --no-memory" : ""}`} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Take snapshot" disabled={Boolean(wrong)} />
			</footer>
		</form>
	);
}

export async function restore(vm: Vm, snapshot: Snapshot): Promise<void> {
	const sure = await ask({
		title: `Put “${vm.name}” back to “${nameOf(snapshot)}”?`,
		body: `What happened in the VM since ${clock(instant(snapshot.created) ?? 0, 0, utc.value)}${utc.value ? " UTC" : ""} is lost: its disk${snapshot.memory ? " and its memory" : ""} become what they were then.`,
		confirm: "Put it back",
		danger: true,
		extra: <AsShell recipe={{ label: "Put back", request: sketch("post", "/vms/{vm}/restore", { vm: vm.name }, { snapshot: snapshot.id }), cli: `banger vm restore ${quote(vm.name)} ${snapshot.id}` }} />,
	});
	if (!sure) return;
	await attempt("Going back", () => call("post", "/vms/{vm}/restore", { params: { vm: vm.id }, body: { snapshot: snapshot.id } }));
	await refreshVm(vm.id).catch(() => undefined);
}

/** Memory, disk and what describes them: another server of the same kind takes it in. */
export function exportSnapshot(snapshot: Snapshot): void {
	save(`/snapshots/${snapshot.id}/archive`, `${nameOf(snapshot)}.tar`).catch((error: unknown) => toast({ tone: "bad", title: "The snapshot was not exported", body: sentence(error) }));
}

export async function removeSnapshot(snapshot: Snapshot): Promise<void> {
	const sure = await ask({
		title: `Delete snapshot “${nameOf(snapshot)}”?`,
		body: `This moment of ${snapshot.vm_name} is gone for good; ${bytes(snapshot.size_bytes)} are freed. VMs that were made from it stay.`,
		confirm: "Delete snapshot",
		danger: true,
		extra: <AsShell recipe={{ label: "Delete", request: sketch("delete", "/snapshots/{snapshot}", { snapshot: snapshot.id }), cli: `banger snapshot delete ${snapshot.id}` }} />,
	});
	if (sure) await attempt("Deleting the snapshot", () => call("delete", "/snapshots/{snapshot}", { params: { snapshot: snapshot.id } }));
}

export function forkVm(vm: Vm): void {
	needDocument();
	showDialog({ title: `Fork “${vm.name}”`, body: <Fork vm={vm} /> });
}

function Fork({ vm }: { vm: Vm }) {
	const schema = schemaOf("Fork")?.properties?.["count"];
	const [count, setCount] = useState(1);
	const wrong = schema && problemOf(count, schema);
	const body = { count };
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				closeDialog();
				void attempt("The fork", () => call("post", "/vms/{vm}/fork", { params: { vm: vm.id }, body }));
			}}
		>
			<div class="stack">
				<p class="soft">Copies the running VM, memory and disk. Each copy goes on from this moment as a machine of its own, with its own name, keys and addresses.</p>
				<div class="field">
					<label class="name" for="fork-count">Copies</label>
					<input id="fork-count" class="input num" inputMode="numeric" data-autofocus value={Number.isNaN(count) ? "" : count}
						aria-invalid={Boolean(wrong)} onInput={(e) => setCount(e.currentTarget.value.trim() === "" ? NaN : Number(e.currentTarget.value))} />
					{wrong && <span class="wrong" role="alert">{wrong}</span>}
				</div>
				<Command text={curl(sketch("post", "/vms/{vm}/fork", { vm: vm.name }, body), endpoint())} />
				<Command text={`banger vm fork ${quote(vm.name)}${count > 1 ? ` --count ${count}` : ""}`} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Fork" disabled={Boolean(wrong)} />
			</footer>
		</form>
	);
}
