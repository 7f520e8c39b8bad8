// SPDX-License-Identifier: Apache-2.0
/* The columns of the list: how each is drawn, sorted and how wide it may be. */
import type { ComponentChildren } from "preact";
import type { StatsSample, Vm } from "../../api/types";
import { bytes, duration, instant, mib, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { now } from "../../store/clock";
import { usage } from "../../store/usage";
import { Copy, Label, Meter } from "../../ui/basics";
import { openForward } from "../../ui/forward";
import { StateBadge, lookOf } from "../../ui/state";
import { Ago, Since, Until } from "../../ui/time";

export interface Column {
	id: string;
	label: string;
	/** A track of the grid. */
	width: string;
	right?: boolean;
	/** Left out first where there is no room: the higher, the sooner. */
	spare?: number;
	/** Shown until somebody chooses. */
	initial?: boolean;
	/** What it sorts by; absent: it does not. */
	key?: (vm: Vm) => string | number;
	/** It shows what changes by itself every few seconds. */
	live?: boolean;
	cell: (vm: Vm, filter: (key: string, value: string) => void) => ComponentChildren;
}

const STATE_ORDER = ["failed", "starting", "running", "paused", "stopping", "deleting", "suspended", "created", "stopped"];

/** How long the last start took, as far as its stages tell. */
export function bootMs(vm: Vm): number | undefined {
	const ends = (vm.stages ?? []).map((s) => (s.duration_ms === undefined ? NaN : s.start_ms + s.duration_ms));
	const end = Math.max(...ends);
	return ends.length > 0 && Number.isFinite(end) ? end : undefined;
}

export const alive = (vm: Vm): boolean => vm.state === "running" || vm.state === "paused";

export function VmState({ vm, pill }: { vm: Vm; pill?: boolean }) {
	const look = lookOf(vm.state);
	const since = instant(vm.since);
	const note = look.moving && since !== undefined ? duration(Math.max(0, now.value - since)) : undefined;
	return <StateBadge look={look} note={note} pill={pill ?? false} />;
}

const nowOf = (vm: Vm): StatsSample | undefined => (alive(vm) ? usage.value.get(vm.id)?.now : undefined);

/** In the unit that its limit is written in, without the unit. */
function part(used: number, limitMib: number): string {
	const unit = 1024 ** (limitMib >= 1024 ? 3 : 2);
	const value = used / unit;
	return value >= 9.95 ? String(Math.round(value)) : value >= 0.05 ? value.toFixed(1) : "<0.1";
}

const PORTS_SHOWN = 2;
const LABELS_SHOWN = 2;

function Ports({ vm }: { vm: Vm }) {
	const forwards = usage.value.get(vm.id)?.forwards ?? [];
	if (forwards.length === 0) return <span class="dim">–</span>;
	return (
		<span class="labels">
			{forwards.slice(0, PORTS_SHOWN).map((f) => (
				<a key={f.id} class="label num" href={openForward(f)} target="_blank" rel="noopener noreferrer" title={`Open port ${f.guest_port} of ${vm.name}, at port ${f.host_port} of this host`}>
					{f.guest_port}
				</a>
			))}
			{forwards.length > PORTS_SHOWN && <a class="dim small" href={href(["vms", vm.name, "network"])}>+{forwards.length - PORTS_SHOWN}</a>}
		</span>
	);
}

export const COLUMNS: Column[] = [
	{
		id: "name", label: "Name", width: "minmax(120px, 1.5fr)", initial: true, key: (vm) => vm.name,
		cell: (vm) => (
			<a class="vm-name clip" href={href(["vms", vm.name])} title={vm.id}>
				{vm.name}
			</a>
		),
	},
	{
		id: "state", label: "State", width: "minmax(112px, 1.2fr)", initial: true,
		key: (vm) => STATE_ORDER.indexOf(vm.state),
		cell: (vm) => (
			<>
				<VmState vm={vm} />
				{vm.state === "failed" && vm.reason && <span class="clip dim small reason" title={vm.reason}>{vm.reason}</span>}
			</>
		),
	},
	{
		id: "image", label: "Image", width: "minmax(88px, 1fr)", spare: 1, initial: true, key: (vm) => vm.image,
		cell: (vm) => <span class="clip" title={vm.image}>{vm.image}</span>,
	},
	{
		id: "labels", label: "Labels", width: "minmax(110px, 1.4fr)", spare: 3, initial: true,
		cell: (vm, filter) => (
			<span class="labels">
				{Object.entries(vm.labels).slice(0, LABELS_SHOWN).map(([name, value]) => (
					<Label key={name} name={name} value={value} onClick={() => filter("label", `${name}=${value}`)} />
				))}
				{Object.keys(vm.labels).length > LABELS_SHOWN && <span class="dim small" title={Object.entries(vm.labels).map(([k, v]) => `${k}=${v}`).join(" ")}>+{Object.keys(vm.labels).length - LABELS_SHOWN}</span>}
			</span>
		),
	},
	{
		id: "cpu", label: "CPU", width: "minmax(72px, 0.7fr)", spare: 2, initial: true, live: true, key: (vm) => nowOf(vm)?.cpu ?? -1,
		cell: (vm) => {
			const used = nowOf(vm)?.cpu;
			if (used === undefined) return <span class="dim num">{plural(vm.vcpus, "vCPU")}</span>;
			return <Meter calm value={used} of={vm.vcpus} text={`${Math.round((used / vm.vcpus) * 100)} % of ${vm.vcpus}`} label="Processors in use" />;
		},
	},
	{
		id: "memory", label: "Memory", width: "minmax(90px, 0.8fr)", spare: 1, initial: true, live: true, key: (vm) => vm.memory_mib,
		cell: (vm) => {
			const used = nowOf(vm)?.memory_rss_bytes;
			if (used === undefined) return <span class="dim num">{mib(vm.memory_mib)}</span>;
			const limit = vm.memory_mib * 1048576;
			/* its monitor takes some as well */
			const text = used > limit ? `all of ${mib(vm.memory_mib)}` : `${part(used, vm.memory_mib)} of ${mib(vm.memory_mib)}`;
			return <Meter calm value={used} of={limit} text={text} label="Memory in use" title={`It takes ${bytes(used)} of the host: the guest's memory and its monitor's`} />;
		},
	},
	{
		id: "disk", label: "Disk", width: "minmax(80px, 0.8fr)", spare: 4, initial: true, live: true, key: (vm) => vm.disk_mib,
		cell: (vm) => {
			const used = nowOf(vm)?.disk_used_bytes;
			if (used === undefined) return <span class="dim num" title="Size of the writable disk; it is sparse on the host">{mib(vm.disk_mib)}</span>;
			return <Meter value={used} of={vm.disk_mib * 1048576} text={`${part(used, vm.disk_mib)} of ${mib(vm.disk_mib)}`} label="Disk in use" />;
		},
	},
	{
		id: "ports", label: "Ports", width: "minmax(68px, 0.6fr)", spare: 6, initial: true, live: true,
		cell: (vm) => <Ports vm={vm} />,
	},
	{
		id: "ip", label: "Address", width: "minmax(130px, 0.8fr)", key: (vm) => vm.ip ?? "",
		cell: (vm) => (vm.ip ? <span class="row"><code class="clip" title={vm.ip}>{vm.ip}</code><Copy text={vm.ip} what={`address of ${vm.name}`} /></span> : <span class="dim">{vm.network === "none" ? "none" : "–"}</span>),
	},
	{
		id: "boot", label: "Boot", width: "66px", spare: 9, right: true, key: (vm) => bootMs(vm) ?? Infinity,
		cell: (vm) => {
			const ms = bootMs(vm);
			return <span class="num soft">{ms === undefined ? "–" : duration(ms)}</span>;
		},
	},
	{
		id: "uptime", label: "Up for", width: "80px", spare: 2, right: true, initial: true,
		key: (vm) => (alive(vm) ? (instant(vm.started) ?? 0) : Infinity),
		cell: (vm) => (alive(vm) ? <Since from={vm.started} /> : <span class="dim">–</span>),
	},
	{
		id: "expires", label: "Ends in", width: "64px", spare: 5, right: true, initial: true,
		key: (vm) => instant(vm.expires) ?? Infinity,
		cell: (vm) => (vm.expires ? <Until to={vm.expires} /> : <span class="dim" title="Stays until it is deleted">never</span>),
	},
	{
		id: "sleeps", label: "Sleeps in", width: "76px", spare: 9, right: true, initial: true, key: (vm) => instant(vm.sleeps) ?? Infinity,
		cell: (vm) => (vm.sleeps ? <Until to={vm.sleeps} /> : <span class="dim">never</span>),
	},
	{
		id: "active", label: "Last activity", width: "96px", spare: 8, right: true, initial: true, live: true,
		key: (vm) => -(instant(usage.value.get(vm.id)?.active) ?? 0),
		cell: (vm) => {
			const time = usage.value.get(vm.id)?.active;
			return time ? <span class="soft" title="A command, terminal, tunnel or hold"><Ago time={time} /></span> : <span class="dim">–</span>;
		},
	},
	{
		id: "vcpus", label: "vCPUs", width: "54px", right: true, key: (vm) => vm.vcpus,
		cell: (vm) => <span class="num">{vm.vcpus}</span>,
	},
	{
		id: "created", label: "Created", width: "100px", right: true, key: (vm) => instant(vm.created) ?? 0,
		cell: (vm) => <span class="soft"><Ago time={vm.created} /></span>,
	},
	{
		id: "network", label: "Network", width: "84px", key: (vm) => vm.network,
		cell: (vm) => <span class="soft">{vm.network}</span>,
	},
	{
		id: "vmm", label: "VMM", width: "96px", key: (vm) => vm.vmm ?? "",
		cell: (vm) => <span class="soft">{vm.vmm ?? "–"}</span>,
	},
	{
		id: "kernel", label: "Kernel", width: "minmax(110px, 1fr)", key: (vm) => vm.kernel ?? "",
		cell: (vm) => <span class="clip soft">{vm.kernel ?? "default"}</span>,
	},
	{
		id: "id", label: "Id", width: "190px", key: (vm) => vm.id,
		cell: (vm) => <span class="row"><code class="clip soft">{vm.id}</code><Copy text={vm.id} what={`id of ${vm.name}`} /></span>,
	},
];

/** The least that a track needs, in pixels. */
const least = (column: Column): number => Number(/\d+/.exec(column.width)?.[0] ?? 100);
const GAP = 10;
const FRAME = 32 + 104 + 12;

/** The columns that fit: what can be spared most goes first. */
export function fitting(columns: Column[], width: number): Column[] {
	let list = columns;
	const needed = (): number => FRAME + list.reduce((sum, c) => sum + least(c) + GAP, GAP);
	while (needed() > width) {
		const spare = list.reduce<Column | undefined>((a, c) => ((c.spare ?? 0) > (a?.spare ?? 0) ? c : a), undefined);
		if (!spare) break;
		list = list.filter((c) => c !== spare);
	}
	return list;
}

const WIDTH_MIN = 48;
const WIDTH_MAX = 800;

/** Columns in the order and, behind a "~", the width in pixels that somebody chose; unknown ones are left out. */
export function chosenColumns(texts: string[]): Column[] {
	const list: Column[] = [];
	for (const text of texts) {
		const [id, px] = text.split("~");
		const column = COLUMNS.find((c) => c.id === id);
		if (!column || list.some((c) => c.id === id)) continue;
		const width = Number(px);
		list.push(width >= WIDTH_MIN && width <= WIDTH_MAX ? { ...column, width: `${Math.round(width)}px` } : column);
	}
	const name = COLUMNS[0] as Column;
	return list.some((c) => c.id === "name") ? list : [name, ...list];
}

/** The same list with `id` moved by some places. */
export function moved(texts: string[], id: string, to: number): string[] {
	const text = texts.find((t) => t.split("~")[0] === id);
	if (!text) return texts;
	const rest = texts.filter((t) => t !== text);
	const at = Math.max(0, Math.min(rest.length, to));
	return [...rest.slice(0, at), text, ...rest.slice(at)];
}

/** The same list with a width for `id`; 0: its own. */
export function resized(texts: string[], id: string, px: number): string[] {
	const width = Math.round(Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, px)));
	return texts.map((t) => (t.split("~")[0] === id ? (px ? `${id}~${width}` : id) : t));
}

export const INITIAL = COLUMNS.filter((c) => c.initial).map((c) => c.id);

/** "-name": by name, backwards. Equal rows stay in the order of their names. */
export function sorted(list: Vm[], sort: string): Vm[] {
	const back = sort.startsWith("-");
	const key = COLUMNS.find((c) => c.id === sort.replace(/^-/, ""))?.key ?? ((vm: Vm) => vm.name);
	const keyed = list.map((vm) => ({ vm, key: key(vm) }));
	const byName = (a: Vm, b: Vm): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
	keyed.sort((a, b) => {
		const order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
		return order === 0 ? byName(a.vm, b.vm) : back ? -order : order;
	});
	return keyed.map(({ vm }) => vm);
}

/**
 * Keeps rows where they are while somebody points at them: known rows in their old order, new ones
 * at the end, gone ones out.
 */
export function steady(next: Vm[], order: readonly string[]): Vm[] {
	const at = new Map(order.map((id, i) => [id, i]));
	const end = order.length;
	return [...next].sort((a, b) => (at.get(a.id) ?? end) - (at.get(b.id) ?? end));
}
