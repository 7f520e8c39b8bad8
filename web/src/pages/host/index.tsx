// SPDX-License-Identifier: Apache-2.0
/* The host: what doctor found, each row with its remedy. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { can } from "../../api/capabilities";
import { call, sketch } from "../../api/client";
import { sentence } from "../../actions/actions";
import type { Check, CheckStatus, Host } from "../../api/types";
import { bytes, mib, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { curl } from "../../lib/shell";
import { doctor, images, kernels, need, refreshDoctor, refreshImages, refreshKernels, version, vmList } from "../../store/live";
import { endpoint } from "../create/example";
import { cleanCache } from "../images/cache";
import { alive } from "../vms/columns";
import { PhonePreferences } from "../../shell/nav";
import { Button, Card, Command, Copy, Details, Loading, Meter } from "../../ui/basics";
import { JsonButton } from "../../ui/json";
import { Shape, StateBadge, lookOf } from "../../ui/state";
import { Fix, fixable } from "./fix";
import { HistoryCard } from "./history";
import "./host.css";

const WORDS: Record<CheckStatus, string> = {
	pass: "Everything is in order",
	warn: "It works, with something to look at",
	fail: "Something keeps VMs from working",
	skip: "Nothing was checked",
};

export default function HostPage() {
	const [busy, setBusy] = useState(false);
	const [problem, setProblem] = useState("");
	const [only, setOnly] = useState<CheckStatus | "">("");
	const check = async (): Promise<void> => {
		setBusy(true);
		setProblem("");
		try {
			await refreshDoctor();
		} catch (error) {
			setProblem(sentence(error));
		} finally {
			setBusy(false);
		}
	};
	useEffect(() => {
		need(images, refreshImages);
		need(kernels, refreshKernels);
		void check();
	}, []);
	const report = doctor.value;
	return (
		<div class="page narrow">
			<header class="page-head">
				<h1>Host & doctor</h1>
				<div class="actions">
					<PhonePreferences />
					{can("host_get") && <JsonButton what="The host" request={sketch("get", "/host")} />}
					<Button icon="restart" label="Check again" busy={busy} onClick={() => void check()} />
				</div>
			</header>
			{problem && <p class="problem">{problem}</p>}
			{can("host_get") ? <Capacity /> : <Numbers />}
			{!report ? (
				!problem && <Loading what="the doctor's report" />
			) : (
				<>
					<section class={`verdict card tone-${lookOf(report.status).tone}`}>
						<Shape {...lookOf(report.status)} />
						<div class="grow">
							<h2>{WORDS[report.status]}</h2>
							<div class="row wrap">
								{(["fail", "warn", "pass", "skip"] as const).map((status) => {
									const n = report.checks.filter((c) => c.status === status).length;
									return (
										n > 0 && (
											<button key={status} type="button" class="state-filter" aria-pressed={only === status} onClick={() => setOnly(only === status ? "" : status)}>
												<StateBadge look={lookOf(status)} note={String(n)} />
											</button>
										)
									);
								})}
							</div>
						</div>
						{fixable(report.checks).length > 0 && <Fix checks={report.checks} label={`Fix ${plural(fixable(report.checks).length, "finding")}`} />}
					</section>
					<Groups checks={report.checks.filter((c) => !only || c.status === only)} />
				</>
			)}
			<Card title="From a shell" actions={<JsonButton quiet what="The doctor's report" request={sketch("get", "/doctor")} />}>
				<div class="stack">
					<Command text="banger doctor" />
					<Command text={curl(sketch("get", "/doctor"), endpoint())} />
				</div>
			</Card>
		</div>
	);
}

/* --- what there is, what is promised and what is used --- */

const AGAIN_MS = 5000;
const WAITS = { cpu: "For processors", memory: "For memory", io: "For disks" };

function useHost(): Host | null {
	const [host, setHost] = useState<Host | null>(null);
	useEffect(() => {
		let gone = false;
		let timer = 0;
		const read = async (): Promise<void> => {
			if (!document.hidden) await call("get", "/host").then((found) => !gone && setHost(found)).catch(() => undefined);
			if (!gone) timer = window.setTimeout(() => void read(), AGAIN_MS);
		};
		void read();
		return () => {
			gone = true;
			window.clearTimeout(timer);
		};
	}, []);
	return host;
}

function Capacity() {
	const host = useHost();
	if (!host) return <Loading what="the host's figures" />;
	const { memory, disk, vms, pressure } = host;
	const given = vmList.value.filter(alive).reduce((sum, vm) => sum + vm.vcpus, 0);
	const rows: [string, number, number, string][] = [
		["Promised to VMs", memory.promised_bytes, memory.limit_bytes, `${bytes(memory.promised_bytes)} of ${bytes(memory.limit_bytes)} that may be`],
		["Used by VMs", memory.vms_bytes, memory.total_bytes, `${bytes(memory.vms_bytes)}; ${bytes(memory.vms_shared_bytes)} saved by sharing`],
		["In use on the host", memory.total_bytes - memory.available_bytes, memory.total_bytes, `${bytes(memory.total_bytes - memory.available_bytes)} of ${bytes(memory.total_bytes)}`],
	];
	const tiles: [string, ComponentChildren, ComponentChildren][] = [
		["VMs", `${vms.running}`, `of ${vms.total} up`],
		["vCPUs given", `${given}`, `on ${plural(host.cpus, "processor")}`],
		["Disk free", bytes(disk.free_bytes), `of ${bytes(disk.total_bytes)}`],
		["Doctor", <DoctorWord />, <DoctorNote />],
	];
	return (
		<>
			<dl class="tiles">
				{tiles.map(([name, value, note]) => (
					<div key={name} class="tile card"><dt>{name}</dt><dd class="num value">{value}</dd><dd class="dim small">{note}</dd></div>
				))}
			</dl>
			<div class="columns even">
				<Card title="Memory">
					<ul class="capacity">
						{rows.map(([name, value, of, text]) => (
							<li key={name}><span>{name}</span><Meter wide value={value} of={of} text={text} label={name} /></li>
						))}
					</ul>
				</Card>
				{pressure.cpu && (
					<Card title="Waiting">
						<ul class="capacity">
							{(["cpu", "memory", "io"] as const).map((kind) => {
								const some = pressure[kind];
								return some && <li key={kind} title="The share of the time in which something waited for it"><span>{WAITS[kind]}</span><Meter wide value={some.avg10} of={100} text={`${some.avg10.toFixed(1)} % of 10 s, ${some.avg60.toFixed(1)} % of a minute`} label={`Waits ${WAITS[kind].toLowerCase()}`} /></li>;
							})}
						</ul>
					</Card>
				)}
				<Card title="Disk" actions={can("cache_prune") && <Button kind="quiet" icon="trash" title="Downloaded layers of images that nothing needs any more" label="Clean up…" onClick={cleanCache} />}>
					<Meter wide value={disk.total_bytes - disk.free_bytes} of={disk.total_bytes} text={`${bytes(disk.free_bytes)} of ${bytes(disk.total_bytes)} free`} label="Disk in use" />
					<Details
						rows={[
							["VMs", bytes(disk.vms_bytes)],
							["Images", <a href={href(["images"])}>{bytes(disk.images_bytes)}</a>],
							["Templates", <a href={href(["snapshots"])}>{bytes(disk.templates_bytes)}</a>],
							["Snapshots", <a href={href(["snapshots"])}>{bytes(disk.snapshots_bytes)}</a>],
							["Downloads", bytes(disk.cache_bytes)],
						]}
					/>
				</Card>
			</div>
			{can("host_history") && <HistoryCard host={host} />}
		</>
	);
}

function DoctorWord() {
	const report = doctor.value;
	if (!report) return <>…</>;
	return <span class="row"><Shape {...lookOf(report.status)} />{report.status}</span>;
}

function DoctorNote() {
	const report = doctor.value;
	if (!report) return <>looks</>;
	const found = report.checks.filter((c) => c.status === "fail" || c.status === "warn").length;
	return (
		<button type="button" class="linklike more" onClick={() => document.querySelector(".verdict")?.scrollIntoView({ block: "start" })}>
			{found ? plural(found, "finding") : `${plural(report.checks.length, "check")} passed`}
		</button>
	);
}

/* --- what is given away, where the server tells no more --- */

function Numbers() {
	const list = vmList.value;
	const live = list.filter(alive);
	const sum = (of: number[]): number => of.reduce((a, b) => a + b, 0);
	const tiles: [string, string, string][] = [
		["VMs", `${live.length}`, `of ${list.length} up`],
		["vCPUs given", `${sum(live.map((vm) => vm.vcpus))}`, "to running VMs"],
		["Memory given", mib(sum(live.map((vm) => vm.memory_mib))), "to running VMs"],
		["Disks", mib(sum(list.map((vm) => vm.disk_mib))), "at most; sparse"],
		["Images", images.value ? mib(sum(images.value.map((i) => i.size_bytes)) / 1048576) : "–", images.value ? plural(images.value.length, "image") : ""],
		["Server", version.value || "–", "version"],
	];
	return (
		<dl class="tiles">
			{tiles.map(([name, value, note]) => (
				<div key={name} class="tile card">
					<dt>{name}</dt>
					<dd class="num value">{value}</dd>
					<dd class="dim small">{note}</dd>
				</div>
			))}
		</dl>
	);
}

const GROUPS: Record<string, string> = { vmm: "Virtual machine monitor", store: "Store and disk" };

function Groups({ checks }: { checks: Check[] }) {
	const groups = new Map<string, Check[]>();
	for (const check of checks) groups.set(check.group, [...(groups.get(check.group) ?? []), check]);
	return (
		<>
			{[...groups].map(([group, list]) => (
				<section key={group} class="card flush">
					<header>
						<h2 class="first-up">{GROUPS[group] ?? group.replace(/_/g, " ")}</h2>
					</header>
					<ul class="checks">
						{list.map((check) => (
							<li key={check.name} class={`tone-${lookOf(check.status).tone}`}>
								<StateBadge look={lookOf(check.status)} />
								<div class="grow">
									<strong>{check.name}</strong>
									<p class="soft">{check.detail}</p>
									{check.remedy && (
										<div class="remedy">
											<span>{check.remedy}</span>
											<Copy text={check.remedy} what="remedy" />
											<Fix checks={[check]} label="Fix" />
										</div>
									)}
								</div>
							</li>
						))}
					</ul>
				</section>
			))}
		</>
	);
}
