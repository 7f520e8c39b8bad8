// SPDX-License-Identifier: Apache-2.0
/* Everything about one VM, in tabs with addresses of their own. */
import type { ComponentType } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { fits, offered, perform } from "../../actions/actions";
import { showVmCommands, vmMenu } from "../../actions/menu";
import { call, ApiError } from "../../api/client";
import { can } from "../../api/capabilities";
import type { OperationId, Vm } from "../../api/types";
import { duration, mib, plural } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { phone } from "../../lib/media";
import { go, href } from "../../lib/router";
import { activeOperations, findVm, putVm, vmsLoaded } from "../../store/live";
import { now } from "../../store/clock";
import { pastOf } from "../../store/places";
import { Button, Empty, LinkButton, Loading } from "../../ui/basics";
import { Icon, type IconName } from "../../ui/icon";
import { Menu } from "../../ui/menu";
import { Since, Until } from "../../ui/time";
import { Waterfall } from "../../ui/waterfall";
import { taken } from "../../shell/dock";
import { PhonePreferences } from "../../shell/nav";
import { VmState, alive } from "../vms/columns";
import { ConsoleTab } from "./console";
import { EventsTab } from "./events";
import { ExecTab } from "./exec";
import { FilesTab } from "./files";
import { SettingsTab } from "./settings";
import { SnapshotsTab } from "./snapshots";
import { NetworkTab } from "./network";
import { OverviewTab } from "./overview";
import { TerminalTab } from "./terminal-tab";
import "../../style/log.css";
import "./vm.css";

interface Tab {
	path: string;
	label: string;
	icon: IconName;
	needs: OperationId;
	view: ComponentType<{ vm: Vm; rest: string[] }>;
	key: string;
}

const TABS: Tab[] = [
	{ path: "", label: "Overview", icon: "info", needs: "vm_get", view: OverviewTab, key: "1" },
	{ path: "terminal", label: "Terminal", icon: "terminal", needs: "vm_terminal", view: TerminalTab, key: "t" },
	{ path: "exec", label: "Run", icon: "play", needs: "exec_list", view: ExecTab, key: "2" },
	{ path: "console", label: "Console", icon: "logs", needs: "vm_logs", view: ConsoleTab, key: "3" },
	{ path: "files", label: "Files", icon: "files", needs: "file_get", view: FilesTab, key: "4" },
	{ path: "network", label: "Network", icon: "network", needs: "port_list", view: NetworkTab, key: "n" },
	{ path: "snapshots", label: "Snapshots", icon: "camera", needs: "vm_snapshot_list", view: SnapshotsTab, key: "5" },
	{ path: "settings", label: "Settings", icon: "settings", needs: "vm_update", view: SettingsTab, key: "6" },
	{ path: "events", label: "Events", icon: "events", needs: "event_stream", view: EventsTab, key: "7" },
];

export default function VmPage({ parts: [key = "", tab = "", ...rest] }: { parts: string[] }) {
	const vm = findVm(key);
	const [missing, setMissing] = useState(false);
	const ready = vmsLoaded.value;
	useEffect(() => {
		setMissing(false);
		if (vm || !ready) return;
		let gone = false;
		call("get", "/vms/{vm}", { params: { vm: key } })
			.then((found) => !gone && putVm(found))
			.catch((error: unknown) => !gone && error instanceof ApiError && error.status === 404 && setMissing(true));
		return () => {
			gone = true;
		};
	}, [key, ready, vm === undefined]);
	if (!vm && !missing) return <Loading what={`“${key}”`} />;
	if (!vm) {
		return (
			<Empty page icon="vms" title={`There is no VM “${key}”`} action={<LinkButton kind="primary" label="To all virtual machines" href={href(["vms"])} />}>
				<p>It may have been deleted, or its time ran out: <a href={pastOf(key)}>what happened to it</a>.</p>
			</Empty>
		);
	}
	return <Shown key={vm.id} vm={vm} tab={tab} rest={rest} />;
}

function Shown({ vm, tab, rest }: { vm: Vm; tab: string; rest: string[] }) {
	const tabs = TABS.filter((t) => can(t.needs));
	const current = tabs.find((t) => t.path === tab) ?? tabs[0];
	useKeys([
		...tabs.map((t) => ({
			keys: t.key, label: t.label, group: "Tabs",
			run: () => go(["vms", vm.name, ...(t.path ? [t.path] : [])]),
		})),
		{ keys: "u", label: "Up to the list", group: "Go to", run: () => go(["vms"]) },
	]);
	/* on a phone the tabs are wider than the screen */
	const bar = useRef<HTMLElement>(null);
	useLayoutEffect(() => bar.current?.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }), [current]);
	const View = current?.view;
	return (
		<div class="page">
			<header class="page-head">
				<nav class="crumbs" aria-label="You are here">
					<a href={href(["vms"])} class="soft">VMs</a>
					<Icon name="right" size={12} />
					<h1 class="clip">{vm.name}</h1>
				</nav>
				<VmState vm={vm} pill />
				<Verbs vm={vm} />
			</header>
			<Facts vm={vm} />
			{vm.reason && (
				<p class={vm.state === "failed" ? "problem" : "soft"}>
					{vm.state === "failed" && <strong>It failed: </strong>}
					{vm.reason}
				</p>
			)}
			<UnderWay vm={vm} />
			<nav ref={bar} class="tabs" aria-label="Parts of this VM">
				{tabs.map((t) => (
					<a key={t.path} href={href(["vms", vm.name, ...(t.path ? [t.path] : [])])} aria-current={t === current ? "page" : undefined}>
						<Icon name={t.icon} />
						{t.label}
					</a>
				))}
			</nav>
			{View && <View vm={vm} rest={rest} />}
		</div>
	);
}

function Verbs({ vm }: { vm: Vm }) {
	const ready = offered().filter((a) => fits(a, vm));
	const first = ready.filter((a) => ["start", "stop", "restart", "resume", "recover"].includes(a.id));
	return (
		<div class="actions">
			{!phone.value &&
				first.map((action) => (
					<Button
						key={action.id}
						icon={action.icon}
						label={action.label}
						kind={["start", "resume", "recover"].includes(action.id) ? "primary" : "normal"}
						onClick={() => void perform(action, [vm])}
					/>
				))}
			{!phone.value && <Button icon="terminal" label="As curl" onClick={() => showVmCommands(vm)} />}
			<Menu kind="normal" title="More actions" label={phone.value ? "Actions" : ""} items={() => vmMenu(vm, true)} />
			<PhonePreferences />
		</div>
	);
}

function Facts({ vm }: { vm: Vm }) {
	return (
		<ul class="facts">
			<li><Icon name="image" /> {vm.image}</li>
			<li><Icon name="kernel" /> <span class="num">{plural(vm.vcpus, "vCPU")}, {mib(vm.memory_mib)}</span></li>
			<li class={vm.ip ? "" : "hide-phone"}><Icon name="network" /> {vm.ip ? <code>{vm.ip}</code> : `network: ${vm.network}`}</li>
			{alive(vm) && <li><Icon name="clock" /> up for&nbsp;<Since from={vm.started} /></li>}
			{vm.sleeps && alive(vm) && <li><Icon name="moon" /> sleeps in&nbsp;<Until to={vm.sleeps} /></li>}
			{vm.expires && <li><Icon name="trash" /> ends in&nbsp;<Until to={vm.expires} /></li>}
		</ul>
	);
}

/** What is being done to it right now, with its stages as they come. */
function UnderWay({ vm }: { vm: Vm }) {
	const op = activeOperations.value.find((o) => o.target === vm.id || o.id === vm.operation);
	if (!op) return null;
	const total = taken(op, now.value);
	return (
		<section class="card under-way">
			<header>
				<h2>{op.kind.replace(/^vm\./, "").replace(/_/g, " ")} is under way</h2>
				{total !== undefined && <span class="dim num">{duration(total)}</span>}
			</header>
			<div class="body">
				{op.stages.length ? <Waterfall stages={op.stages} total={total} /> : <p class="dim">Waiting for its turn.</p>}
			</div>
		</section>
	);
}
