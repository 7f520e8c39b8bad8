// SPDX-License-Identifier: Apache-2.0
import { vmRecipes } from "../../actions/menu";
import { can } from "../../api/capabilities";
import { sketch } from "../../api/client";
import type { Vm } from "../../api/types";
import { duration, mib, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { operations } from "../../store/live";
import { Card, Copy, Details, Label } from "../../ui/basics";
import { Recipes } from "../../ui/recipes";
import { Ago, At, Until } from "../../ui/time";
import { Waterfall } from "../../ui/waterfall";
import { OperationTable } from "../../shell/dock";
import { bootMs } from "../vms/columns";
import { DiagnosisCard } from "./diagnosis";
import { GuestCard } from "./guest";
import { JsonButton } from "../../ui/json";
import { UsageCard } from "./usage";
import { WorkspaceCard } from "./workspace";

export function OverviewTab({ vm }: { vm: Vm }) {
	const mine = operations.value.filter((op) => op.target === vm.id);
	/* a server that took the VM over does not know its stages any more; the task log does */
	const start = vm.stages?.length ? undefined : mine.find((op) => /^vm\.(create|start|restart|recover|restore|fork)$/.test(op.kind) && op.state === "succeeded" && op.stages.length > 0);
	const stages = start?.stages ?? vm.stages;
	const boot = start?.duration_ms ?? bootMs(vm);
	return (
		<div class="columns">
			<div class="stack">
				{vm.state === "failed" && can("vm_diagnosis") && <DiagnosisCard vm={vm} />}
				{vm.state === "running" && can("vm_stats") && <GuestCard vm={vm} />}
				<Card
					title="Boot timeline"
					actions={boot !== undefined && <span class="dim num">{duration(boot)}{vm.booted_from ? ` · ${bootedFrom(vm)}` : ""}</span>}
				>
					{stages?.length ? (
						<Waterfall stages={stages} total={boot} />
					) : (
						<p class="dim">The stages of its start will stand here, with the time each took.</p>
					)}
				</Card>
				{can("vm_stats") && <UsageCard vm={vm} />}
				{mine.length > 0 && (
					<Card title="Tasks" flush>
						<OperationTable list={mine.slice(0, 8)} plain />
					</Card>
				)}
				<Card title="From a shell">
					<Recipes list={vmRecipes(vm).slice(0, 2)} />
				</Card>
			</div>
			<div class="stack">
				<Card
					title="Details"
					actions={<JsonButton quiet what={`“${vm.name}”`} request={sketch("get", "/vms/{vm}", { vm: vm.name })} />}
				>
					<Details
						rows={[
							["Id", <span class="row"><code>{vm.id}</code><Copy text={vm.id} what="id" /></span>],
							["Image", <a href={href(["images"])}>{vm.image}</a>],
							["Kernel", vm.kernel ?? "the default"],
							["VMM", vm.vmm ?? "–"],
							["Processors", plural(vm.vcpus, "vCPU")],
							["Memory", mib(vm.memory_mib)],
							["Disk", <>{mib(vm.disk_mib)} <span class="dim">sparse</span></>],
							["Init", vm.init === "system" ? "the image's own (system)" : vm.init === "agent" ? "the agent" : "–"],
							["Created", <Ago time={vm.created} />],
							["Started", <At time={vm.started} />],
							["Ends", vm.expires ? <>in <Until to={vm.expires} /></> : "when it is deleted"],
						]}
					/>
				</Card>
				<Card title="Network">
					<Details
						rows={[
							["Mode", NETWORKS[vm.network] ?? vm.network],
							["Address", vm.ip ? <span class="row"><code>{vm.ip}</code><Copy text={vm.ip} what="address" /></span> : "–"],
							["Way out", vm.network === "none" ? "none" : vm.nat ? "open (NAT)" : "closed"],
						]}
					/>
				</Card>
				{can("workspace_get") && <WorkspaceCard vm={vm} />}
				<Card title="Labels">
					{Object.keys(vm.labels).length ? (
						<div class="row wrap">
							{Object.entries(vm.labels).map(([name, value]) => (
								<a key={name} href={href(["vms"], { q: `label:${name}=${value}` })} title="VMs with this label">
									<Label name={name} value={value} />
								</a>
							))}
						</div>
					) : (
						<p class="dim">None. Labels are words of your own for finding VMs: <code>label:team=ci</code>.</p>
					)}
				</Card>
			</div>
		</div>
	);
}

const NETWORKS: Record<string, string> = {
	none: "no network device",
	user: "outgoing connections, no privileges",
	bridge: "an address of its own on the bridge",
};

function bootedFrom(vm: Vm): string {
	return vm.booted_from === "cold" ? "cold boot" : "clone of a template";
}
