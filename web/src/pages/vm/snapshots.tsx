// SPDX-License-Identifier: Apache-2.0
import { useEffect } from "preact/hooks";
import { can } from "../../api/capabilities";
import { sketch } from "../../api/client";
import type { Snapshot, Vm } from "../../api/types";
import { href } from "../../lib/router";
import { curl } from "../../lib/shell";
import { need, refreshSnapshots, snapshots } from "../../store/live";
import { endpoint } from "../create/example";
import { alive } from "../vms/columns";
import { Button, Command, Empty, Loading } from "../../ui/basics";
import { forkVm, nameOf, takeSnapshot } from "../snapshots/doing";
import { SnapshotTable } from "../snapshots/table";

export function SnapshotsTab({ vm }: { vm: Vm }) {
	useEffect(() => need(snapshots, refreshSnapshots), []);
	if (snapshots.value === null) return <Loading what="snapshots" />;
	const mine = snapshots.value.filter((s) => s.vm === vm.id);
	const buttons = (
		<div class="row wrap">
			{can("snapshot_create") && <Button kind="primary" icon="camera" label="Take snapshot" onClick={() => takeSnapshot(vm)} />}
			{can("vm_fork") && <Button icon="fork" label="Fork" disabled={!alive(vm)} title={alive(vm) ? "Copy the running VM" : `It is ${vm.state}`} onClick={() => forkVm(vm)} />}
		</div>
	);
	if (mine.length === 0) {
		return (
			<Empty icon="camera" title="No snapshots of this VM" action={buttons}>
				<p>A snapshot keeps this moment, to go back to or to start new VMs from. A fork is a copy that goes on at once.</p>
				<From vm={vm} list={snapshots.value} />
				<Command text={curl(sketch("post", "/vms/{vm}/snapshots", { vm: vm.name }, {}), endpoint())} />
			</Empty>
		);
	}
	return (
		<div class="stack">
			{buttons}
			<From vm={vm} list={snapshots.value} />
			<SnapshotTable list={mine} />
		</div>
	);
}

/** A VM that was made from a snapshot of another one, and has none of its own on the way. */
function From({ vm, list }: { vm: Vm; list: Snapshot[] }) {
	const from = list.find((s) => s.id === vm.snapshot && s.vm !== vm.id);
	if (!from) return null;
	return <p class="soft">Its disk goes on from <a href={href(["snapshots"])}>“{nameOf(from)}”</a>, a snapshot of {from.vm_name}.</p>;
}
