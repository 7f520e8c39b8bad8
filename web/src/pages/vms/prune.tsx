// SPDX-License-Identifier: Apache-2.0
/* "Delete what does not run": shows first what would go. */
import { call, sketch } from "../../api/client";
import { sentence } from "../../actions/actions";
import { plural } from "../../lib/format";
import { curl } from "../../lib/shell";
import { findVm, refreshOperations, refreshVms } from "../../store/live";
import { endpoint } from "../create/example";
import { Command } from "../../ui/basics";
import { ask } from "../../ui/dialog";
import { toast } from "../../ui/toast";
import { VmState } from "./columns";

export async function prune(): Promise<void> {
	try {
		const { results } = await call("post", "/vms/prune", { body: { dry_run: true } });
		if (results.length === 0) {
			toast({ tone: "info", title: "Nothing to delete: every VM runs" });
			return;
		}
		const list = results.map((r) => findVm(r.id ?? r.vm)).filter((vm) => vm !== undefined);
		const sure = await ask({
			title: `Delete ${plural(results.length, "VM")} that do not run?`,
			body: "Their disks and everything written to them are gone for good.",
			extra: (
				<>
					<ul class="results prune-list">
						{list.map((vm) => (
							<li key={vm.id}><strong class="grow clip">{vm.name}</strong><VmState vm={vm} /></li>
						))}
					</ul>
					<Command text={curl(sketch("post", "/vms/prune", {}, {}), endpoint())} />
					<Command text="banger vm prune" />
				</>
			),
			confirm: `Delete ${plural(results.length, "VM")}`,
			danger: true,
			typed: results.length > 5 ? `delete ${results.length}` : undefined,
		});
		if (!sure) return;
		const done = await call("post", "/vms/prune", { body: {} });
		const failed = done.results.filter((r) => r.error);
		if (failed.length) toast({ tone: "bad", title: `${plural(failed.length, "VM")} not deleted`, body: failed[0]?.error?.detail });
		await Promise.all([refreshVms(), refreshOperations()]);
	} catch (error) {
		toast({ tone: "bad", title: "Nothing was deleted", body: sentence(error) });
	}
}
