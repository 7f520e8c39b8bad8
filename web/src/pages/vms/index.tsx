// SPDX-License-Identifier: Apache-2.0
/* The first page: every VM, live. */
import { signal } from "@preact/signals";
import { useCallback, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { actionById, fits, offered, perform, requestForMany, sentence, type ItemResult, type VmAction } from "../../actions/actions";
import { vmMenu } from "../../actions/menu";
import { can } from "../../api/capabilities";
import { sketch } from "../../api/client";
import type { Vm } from "../../api/types";
import { count, mib, plural } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { phone } from "../../lib/media";
import { memo } from "../../lib/memo";
import { go, href, route, setQuery } from "../../lib/router";
import { curl, words } from "../../lib/shell";
import { hasTerm, matcher, parse, toggleTerm, type Fields } from "../../lib/search";
import { remembered } from "../../lib/storage";
import { useVirtual } from "../../lib/virtual";
import { connection, refreshVms, vmList, vms, vmsBegun, vmsLoaded } from "../../store/live";
import { usage, useUsage } from "../../store/usage";
import { Button, Check, Command, Copy, Empty, LinkButton, Loading } from "../../ui/basics";
import { ask, showDialog } from "../../ui/dialog";
import { showJson } from "../../ui/json";
import { Menu, type MenuEntry } from "../../ui/menu";
import { SearchBar } from "../../ui/search";
import { Shape, lookOf } from "../../ui/state";
import { toast } from "../../ui/toast";
import { PhonePreferences } from "../../shell/nav";
import { COLUMNS, INITIAL, VmState, alive, chosenColumns, fitting, sorted, steady, type Column } from "./columns";
import { Heads } from "./heads";
import { prune } from "./prune";
import { createExamples, endpoint } from "../create/example";
import "./vms.css";

const FIELDS: Fields<Vm> = {
	name: (vm) => vm.name,
	id: (vm) => vm.id,
	state: (vm) => vm.state,
	image: (vm) => vm.image,
	kernel: (vm) => vm.kernel,
	vmm: (vm) => vm.vmm,
	network: (vm) => vm.network,
	ip: (vm) => vm.ip,
	label: (vm) => Object.entries(vm.labels).flatMap(([k, v]) => [`${k}=${v}`]),
};
const WORDS = ["name", "id", "image", "label", "ip"];

const chosen = remembered<string[]>("vm-columns", INITIAL);
const selected = signal<ReadonlySet<string>>(new Set());
const cursor = signal("");

const ROW = 44;
const PHONE_ROW = 72;
/** What the list leaves to the rest of the page, about: beside it, and above and below. */
const ASIDE = 264;
const AROUND = 250;
const FRESH_MS = 1600;
/** The one thing that is wanted most in a state. */
const QUICK: Partial<Record<Vm["state"], string>> = {
	running: "stop", paused: "resume", stopped: "start", created: "start", suspended: "start", failed: "recover",
};

function filter(key: string, value: string): void {
	setQuery({ q: toggleTerm(route.peek().query.get("q") ?? "", key, value) });
}

/** What the address says, else what was chosen last. */
const columnTexts = (): string[] => route.value.query.get("cols")?.split(",").filter(Boolean) ?? chosen.value;

function columnsShown(): Column[] {
	const list = chosenColumns(columnTexts());
	return list.length > 1 ? list : COLUMNS.filter((c) => c.initial);
}

function chooseColumns(texts: string[]): void {
	chosen.value = texts;
	setQuery({ cols: texts.join(",") });
}

export default function VmsPage() {
	const query = route.value.query.get("q") ?? "";
	const sort = route.value.query.get("sort") ?? "name";
	const all = vmList.value;
	useUsage();
	const figures = COLUMNS.find((c) => c.id === sort.replace(/^-/, ""))?.live ? usage.value : null;
	const found = useMemo(() => {
		const terms = parse(query);
		return sorted(terms.length ? all.filter(matcher(terms, FIELDS, WORDS)) : all, sort);
	}, [all, query, sort, figures]);

	/* the first page is in the order of names: what is sorted or searched otherwise needs all of them */
	const complete = vmsLoaded.value;
	if (!complete && !(vmsBegun.value && !query && sort === "name")) return <Loading what="virtual machines" />;
	if (all.length === 0) return <NoVms />;
	return (
		<div class="page vms-page">
			<header class="page-head">
				<h1>{phone.value ? "VMs" : "Virtual machines"}</h1>
				<div class="actions">
					<PhonePreferences />
					<Menu title="More" kind="normal" items={pageMenu} />
					{can("vm_create") && <LinkButton kind="primary" icon="plus" label="New VM" href={href(["create"])} title="New VM (c)" />}
				</div>
			</header>
			<Summary all={complete ? all : []} query={query} />
			<div class="row wrap toolbar">
				<SearchBar
					value={query}
					onChange={(q) => setQuery({ q })}
					placeholder={phone.value ? "Search" : "Search: name, state:running, label:team=ci, -image:mini"}
					label="Search virtual machines"
				/>
				<span class="dim num small" role="status">
					{!complete ? "" : found.length === all.length ? plural(all.length, "VM") : `${count(found.length)} of ${plural(all.length, "VM")}`}
				</span>
				<span class="grow" />
				{!phone.value && <Menu title="Choose columns" icon="columns" label="Columns" kind="normal" items={columnMenu} />}
			</div>
			{found.length === 0 ? (
				<Empty icon="search" title="No VM fits this search" action={<Button label="Clear the search" onClick={() => setQuery({ q: "" })} />}>
					<p>
						Terms narrow each other down: <code>state:running,paused</code> takes either, <code>-label:keep</code> leaves
						out, <code>name:web-*</code> knows patterns.
					</p>
				</Empty>
			) : (
				<List list={found} sort={sort} complete={complete} />
			)}
			<BulkBar all={vms.value} />
		</div>
	);
}

function pageMenu(): MenuEntry[] {
	return [
		{ label: "Ask the server again", icon: "restart", hint: connection.value === "live" ? "all is live" : undefined, run: () => void refreshVms().then(() => toast({ tone: "ok", title: "Everything here is fresh" }), (error: unknown) => toast({ tone: "bad", title: "The list was not read", body: sentence(error) })) },
		{ label: "JSON…", icon: "json", run: () => showJson("The list of VMs", sketch("get", "/vms")) },
		...(can("vm_prune") ? ["line" as const, { label: "Delete VMs that do not run…", icon: "trash" as const, danger: true, run: () => void prune() }] : []),
	];
}

function columnMenu() {
	return [
		...COLUMNS.filter((c) => c.id !== "name").map((column) => ({
			label: column.label,
			checked: columnsShown().some((c) => c.id === column.id),
			sticky: true,
			run: () => {
				const texts = columnTexts();
				const without = texts.filter((t) => t.split("~")[0] !== column.id);
				chooseColumns(without.length < texts.length ? without : placed(texts, column));
			},
		})),
		"line" as const,
		{
			label: "As at first",
			icon: "restart" as const,
			run: () => {
				chosen.value = INITIAL;
				setQuery({ cols: "" });
			},
		},
	];
}

/** A column that comes back stands behind the one that it follows by default. */
function placed(texts: string[], column: Column): string[] {
	const before = COLUMNS.slice(0, COLUMNS.indexOf(column)).map((c) => c.id);
	const after = texts.reduce((at, t, i) => (before.includes(t.split("~")[0] ?? "") ? i + 1 : at), 0);
	return [...texts.slice(0, after), column.id, ...texts.slice(after)];
}

/* --- five seconds to understand the host --- */

function Summary({ all, query }: { all: Vm[]; query: string }) {
	const states = new Map<string, number>();
	for (const vm of all) states.set(vm.state, (states.get(vm.state) ?? 0) + 1);
	const order = ["running", "starting", "paused", "suspended", "stopping", "deleting", "failed", "created", "stopped"];
	const live = all.filter(alive);
	const sum = (pick: (vm: Vm) => number): number => live.reduce((total, vm) => total + pick(vm), 0);
	return (
		<div class="summary">
			<ul class="states" aria-label="States">
				{order
					.filter((state) => states.has(state))
					.map((state) => (
						<li key={state}>
							<button
								type="button"
								class="state-chip"
								aria-pressed={hasTerm(query, "state", state)}
								onClick={() => filter("state", state)}
								title={`Show only VMs that are ${state}`}
							>
								<Shape {...lookOf(state)} />
								<strong class="num">{count(states.get(state) ?? 0)}</strong>
								<span>{state}</span>
							</button>
						</li>
					))}
			</ul>
			{live.length > 0 && (
				<p class="committed dim" title="Given to VMs that run or are paused">
					<strong class="num">{plural(sum((vm) => vm.vcpus), "vCPU")}</strong>, <strong class="num">{mib(sum((vm) => vm.memory_mib))}</strong> given to VMs
				</p>
			)}
		</div>
	);
}

/* --- the list --- */

function List({ list: wanted, sort, complete }: { list: Vm[]; sort: string; complete: boolean }) {
	const body = useRef<HTMLDivElement>(null);
	const order = useRef<string[]>([]);
	const pointed = useRef(false);
	const by = `${sort} ${complete}`;
	const sortedBy = useRef(by);
	const anchor = useRef("");
	const [, redraw] = useState(0);
	const [width, setWidth] = useState(innerWidth - ASIDE);
	/* a row whose properties are the same is not drawn again */
	const fit = fitting(columnsShown(), width);
	const columns = useMemo(() => fit, [fit.map((c) => `${c.id} ${c.width}`).join()]);
	const rowHeight = phone.value ? PHONE_ROW : ROW;

	const list = pointed.current && sortedBy.current === by ? steady(wanted, order.current) : wanted;
	order.current = list.map((vm) => vm.id);
	sortedBy.current = by;

	useLayoutEffect(() => {
		if (!body.current) return;
		const watch = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
		watch.observe(body.current);
		return () => watch.disconnect();
	}, []);
	const { first, end } = useVirtual(body, list.length, rowHeight, AROUND);
	const picked = selected.value;
	const at = list.findIndex((vm) => vm.id === cursor.value);

	const shown = useRef(list);
	shown.current = list;
	const toggle = useCallback((vm: Vm, range: boolean): void => {
		const list = shown.current;
		const next = new Set(selected.peek());
		const on = !next.has(vm.id);
		const from = range ? list.findIndex((v) => v.id === anchor.current) : -1;
		const to = list.findIndex((v) => v.id === vm.id);
		const ids = from >= 0 ? list.slice(Math.min(from, to), Math.max(from, to) + 1).map((v) => v.id) : [vm.id];
		for (const id of ids) {
			if (on) next.add(id);
			else next.delete(id);
		}
		anchor.current = vm.id;
		selected.value = next;
	}, []);
	const move = (by: number): void => {
		const to = list[Math.max(0, Math.min(list.length - 1, at < 0 ? 0 : at + by))];
		if (!to) return;
		cursor.value = to.id;
		const scroller = body.current?.closest("[data-scroll]");
		const index = list.indexOf(to);
		const top = (body.current?.offsetTop ?? 0) + index * rowHeight;
		if (scroller && (top < scroller.scrollTop + 80 || top + rowHeight > scroller.scrollTop + scroller.clientHeight - 60)) {
			scroller.scrollTop = top - scroller.clientHeight / 2;
		}
		requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`[data-id="${to.id}"] .vm-name`)?.focus());
	};
	const here = list[at];
	const act = (id: string): void => {
		const action = actionById(id);
		const targets = picked.size ? list.filter((vm) => picked.has(vm.id)) : here ? [here] : [];
		if (action && can(action.operation)) void perform(action, targets.filter((vm) => fits(action, vm)));
	};
	useKeys([
		{ keys: "j", label: "Next VM", group: "List", run: () => move(1) },
		{ keys: "k", label: "Previous VM", group: "List", run: () => move(-1) },
		{ keys: "x", label: "Select or unselect", group: "List", run: (e) => here && toggle(here, e.shiftKey) },
		{ keys: "s", label: "Start, stop, resume or recover", group: "List", run: () => act((here && QUICK[here.state]) ?? "start") },
		{ keys: "#", label: "Delete", group: "List", run: () => act("delete") },
		{ keys: "b", label: "To the actions for those selected", group: "List", run: () => document.querySelector<HTMLElement>(".bulk button:enabled")?.focus() },
		{ keys: "Escape", label: "Clear the selection", group: "List", run: clearSelection },
	]);

	const every = list.length > 0 && list.every((vm) => picked.has(vm.id));
	const tracks = `32px ${columns.map((c) => c.width).join(" ")} ${phone.value ? 72 : 104}px`;
	return (
		<div
			class="vm-list"
			role="table"
			aria-label="Virtual machines"
			aria-rowcount={complete ? list.length + 1 : -1}
			aria-colcount={columns.length + 2}
			style={{ "--tracks": tracks }}
			onPointerEnter={(e) => {
				pointed.current = e.pointerType === "mouse";
			}}
			onPointerLeave={() => {
				pointed.current = false;
				redraw((n) => n + 1);
			}}
		>
			<div class="vm-row head" role="row" aria-rowindex={1}>
				<span role="columnheader">
					<Check
						checked={every}
						mixed={!every && list.some((vm) => picked.has(vm.id))}
						label="Select all that are listed"
						onChange={() => (selected.value = every ? new Set() : new Set(list.map((vm) => vm.id)))}
					/>
				</span>
				<Heads columns={columns} sort={sort} texts={columnTexts()} choose={chooseColumns} />
				<span role="columnheader">
					<span class="sr">Actions</span>
				</span>
			</div>
			<div ref={body} role="rowgroup" class="vm-body" style={{ height: `${list.length * rowHeight}px` }}>
				<div class="vm-shift" role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
					{list.slice(first, end).map((vm, i) => (
						<Row
							key={vm.id}
							vm={vm}
							index={first + i + 2}
							columns={columns}
							selected={picked.has(vm.id)}
							current={vm.id === cursor.value}
							toggle={toggle}
						/>
					))}
				</div>
			</div>
		</div>
	);
}

const Row = memo(function Row({ vm, index, columns, selected: on, current, toggle }: {
	vm: Vm; index: number; columns: Column[]; selected: boolean; current: boolean; toggle: (vm: Vm, range: boolean) => void;
}) {
	const fresh = Date.now() - Date.parse(vm.since) < FRESH_MS;
	const quick = actionById(QUICK[vm.state] ?? "");
	return (
		<div
			class={`vm-row${on ? " selected" : ""}${current ? " current" : ""}${fresh ? " fresh" : ""}`}
			role="row"
			aria-rowindex={index}
			data-id={vm.id}
			onClick={(event) => {
				if ((event.target as Element).closest("a,button,input")) return;
				cursor.value = vm.id;
				if (event.detail === 2) go(["vms", vm.name]);
			}}
		>
			<span role="cell" class="pick">
				<Check checked={on} label={`Select ${vm.name}`} onChange={(event) => toggle(vm, event.shiftKey)} />
			</span>
			{phone.value ? (
				<span role="cell" class="vm-card">
					<a class="vm-name clip" href={href(["vms", vm.name])}>{vm.name}</a>
					<VmState vm={vm} />
					<span class="dim small clip">
						{vm.image} · {plural(vm.vcpus, "vCPU")} · {mib(vm.memory_mib)}
						{vm.reason ? ` · ${vm.reason}` : ""}
					</span>
				</span>
			) : (
				columns.map((column) => (
					<span key={column.id} role="cell" class={`cell c-${column.id}${column.right ? " right" : ""}`}>
						{column.cell(vm, filter)}
					</span>
				))
			)}
			<span role="cell" class="doing">
				{!phone.value && vm.state === "running" && can("vm_terminal") && <LinkButton kind="quiet" icon="terminal" title={`Terminal of ${vm.name}`} href={href(["vms", vm.name, "terminal"])} />}
				{!phone.value && vm.state === "failed" && can("vm_logs") && <LinkButton kind="quiet" icon="logs" title={`Console of ${vm.name}`} href={href(["vms", vm.name, "console"])} />}
				{quick && can(quick.operation) && fits(quick, vm) && (
					<Button
						kind="quiet"
						icon={quick.icon}
						title={`${quick.label} ${vm.name}`}
						onClick={() => void perform(quick, [vm])}
					/>
				)}
				<Menu title={`Actions for ${vm.name}`} items={() => vmMenu(vm)} />
			</span>
		</div>
	);
});

/* --- many at once --- */

function BulkBar({ all }: { all: ReadonlyMap<string, Vm> }) {
	const list = [...selected.value].map((id) => all.get(id)).filter((vm): vm is Vm => vm !== undefined);
	if (list.length === 0) return null;
	const run = async (action: VmAction): Promise<void> => {
		const results = await perform(action, list.filter((vm) => fits(action, vm)));
		if (!results) return;
		const failed = results.filter((r) => r.error);
		selected.value = new Set(failed.map((r) => r.vm.id));
		if (failed.length) showResults(action, results);
	};
	return (
		<div class="bulk" role="toolbar" aria-label="Actions for the selected VMs" onKeyDown={alongBar}>
			<strong class="num" title="Press b to come here">{plural(list.length, "VM")} selected</strong>
			<span class="rule" />
			{offered().map((action) => {
				const n = list.filter((vm) => fits(action, vm)).length;
				return (
					<Button
						key={action.id}
						kind="quiet"
						icon={action.icon}
						class={action.danger ? "dangerous" : ""}
						label={n && n < list.length ? `${action.label} ${n}` : action.label}
						disabled={n === 0}
						onClick={() => void run(action)}
					/>
				);
			})}
			<span class="rule" />
			<Button kind="quiet" icon="terminal" title="Show as commands" onClick={() => showCommands(list)} />
			<Button kind="quiet" icon="close" title="Clear the selection (Esc)" onClick={clearSelection} />
		</div>
	);
}

/** Whoever stood in the bar, which goes with the selection, stands at the row of the cursor then. */
function clearSelection(): void {
	const inBar = document.activeElement?.closest(".bulk") !== null;
	selected.value = new Set();
	if (inBar) document.querySelector<HTMLElement>(`[data-id="${cursor.peek()}"] .vm-name`)?.focus();
}

/** Arrows go along a toolbar. */
function alongBar(event: KeyboardEvent): void {
	const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
	if (!by) return;
	const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("button:enabled")];
	const at = buttons.indexOf(document.activeElement as HTMLElement);
	buttons[(at + by + buttons.length) % buttons.length]?.focus();
	event.preventDefault();
}

function showCommands(list: Vm[]): void {
	const names = words(list.map((vm) => vm.name));
	showDialog({
		title: "The same from a shell",
		body: (
			<div class="stack">
				{offered().map((action) => {
					const body = requestForMany(action, list);
					return (
						<section key={action.id} class="stack tight">
							<h3>{action.label}</h3>
							{body && <Command text={curl(sketch("post", "/vms/actions", {}, body), endpoint())} what={`curl command: ${action.label}`} />}
							{action.cli && <Command text={action.cli(names)} what={`CLI command: ${action.label}`} />}
						</section>
					);
				})}
			</div>
		),
		wide: true,
	});
}

function showResults(action: VmAction, results: ItemResult[]): void {
	const failed = results.filter((r) => r.error);
	void ask({
		title: `${action.label}: ${failed.length} of ${results.length} failed`,
		body: (
			<ul class="results">
				{results
					.sort((a, b) => Number(Boolean(b.error)) - Number(Boolean(a.error)))
					.map(({ vm, error }) => (
						<li key={vm.id}>
							<Shape shape={error ? "diamond" : "check"} tone={error ? "bad" : "ok"} />
							<strong>{vm.name}</strong>
							<span class="soft grow">{error ?? "accepted"}</span>
							{error && <Copy text={error} what="error" />}
						</li>
					))}
			</ul>
		),
		confirm: "Try the failed ones again",
	}).then((again) => {
		if (again) void perform({ ...action, loses: undefined } as unknown as VmAction, failed.map((r) => r.vm));
	});
}

function NoVms() {
	return (
		<div class="page">
			<header class="page-head">
				<h1>Virtual machines</h1>
				<div class="actions">
					<PhonePreferences />
				</div>
			</header>
			<Empty
				icon="vms"
				title="No virtual machines yet"
				action={can("vm_create") && <LinkButton kind="primary" icon="plus" label="Create the first one" href={href(["create"])} />}
			>
				<p>A VM is a machine of its own: its own kernel, its own disk, gone without a trace when you delete it. From a shell:</p>
				<div class="stack tight">{createExamples().map((text) => <Command key={text} text={text} />)}</div>
			</Empty>
		</div>
	);
}
