// SPDX-License-Identifier: Apache-2.0
/* The task log, docked below every page: what runs, what ran, who asked, how it ended. */
import { useState } from "preact/hooks";
import { call, sketch } from "../api/client";
import { can } from "../api/capabilities";
import { sentence } from "../actions/actions";
import type { Operation } from "../api/types";
import { duration, instant, percent, plural } from "../lib/format";
import { href } from "../lib/router";
import { remembered } from "../lib/storage";
import { ended, putOperation, tasks } from "../store/live";
import { now } from "../store/clock";
import { vmPlace } from "../store/places";
import { Button, Copy, Progress } from "../ui/basics";
import { Icon } from "../ui/icon";
import { JsonButton } from "../ui/json";
import { StateBadge, opLook } from "../ui/state";
import { At } from "../ui/time";
import { toast } from "../ui/toast";
import { Waterfall } from "../ui/waterfall";
import { Parts } from "../ui/parts";
import { amount } from "../ui/progress";
import { AsShell } from "../ui/recipes";
import { Who } from "../ui/who";

export const dockOpen = remembered("dock", false);

const VERBS: Record<string, string> = {
	"vm.create": "Create VM",
	"vm.start": "Start",
	"vm.stop": "Stop",
	"vm.restart": "Restart",
	"vm.kill": "Kill",
	"vm.delete": "Delete",
	"vm.adopt": "Take over",
	"image.create": "Build image",
	"image.build": "Build image",
	"image.promote": "Make an image of",
	"image.pull": "Pull image",
	"vm.suspend": "Suspend",
	"vm.pause": "Pause",
	"vm.resume": "Resume",
	"vm.recover": "Recover",
	"vm.restore": "Put back",
	"vm.fork": "Fork",
	"vm.snapshot": "Snapshot of",
	"snapshot.create": "Snapshot of",
	"template.build": "Make a template of",
	"template.standby": "Keep ready",
	"template.standby_end": "No longer keep ready",
	"kernel.create": "Import kernel",
	"kernel.import": "Import kernel",
};

export function title(op: Operation): string {
	const words = op.kind.replace(/[._]/g, " ");
	const verb = VERBS[op.kind] ?? words.charAt(0).toUpperCase() + words.slice(1);
	const target = op.target_name ?? op.target ?? "";
	return target ? `${verb} ${target}` : verb;
}

export function targetLink(op: Operation): { href: string; title: string } | undefined {
	if (op.kind.startsWith("vm.") && op.target) {
		const place = vmPlace(op.target, op.target_name);
		return { href: place.href, title: place.gone ? "It is gone: show what happened to it" : "Show what it works on" };
	}
	if (/^(image|kernel)\./.test(op.kind)) return { href: href(["images"]), title: "Show what it works on" };
	return undefined;
}

/** Milliseconds that it has taken so far or took. */
export function taken(op: Operation, at: number): number | undefined {
	if (ended(op) && op.duration_ms !== undefined) return op.duration_ms;
	const start = instant(op.started ?? op.created);
	return start === undefined || ended(op) ? undefined : Math.max(0, at - start);
}

export async function cancel(op: Operation): Promise<void> {
	try {
		putOperation(await call("delete", "/operations/{operation}", { params: { operation: op.id } }));
	} catch (error) {
		toast({ tone: "bad", title: "The task could not be cancelled", body: sentence(error) });
	}
}

export function Dock() {
	if (!can("operation_list")) return null;
	const active = tasks.value.filter((op) => !ended(op));
	const shown = active[0] ?? tasks.value[0];
	const open = dockOpen.value;
	return (
		<section class="dock" aria-label="Task log">
			<button type="button" class="strip" aria-expanded={open} onClick={() => (dockOpen.value = !open)}>
				<Icon name="tasks" />
				<strong class="hide-phone">Tasks</strong>
				<span class="now">
					{shown ? <Now op={shown} /> : <span class="dim">Nothing has been asked of this server yet.</span>}
				</span>
				{active.length > 1 && <span class="num small">{plural(active.length, "task")} under way</span>}
				<Icon name={open ? "down" : "up"} />
			</button>
			{open && <List />}
		</section>
	);
}

function Now({ op }: { op: Operation }) {
	const stage = op.stages[op.stages.length - 1];
	const part = op.progress?.total ? percent(op.progress.done, op.progress.total) : undefined;
	return (
		<>
			<StateBadge look={opLook(op.state)} />
			<span class="clip">{title(op)}</span>
			{!ended(op) && (
				<>
					<span class="dim clip hide-phone">{stage?.name}</span>
					<Progress value={part} label={title(op)} />
				</>
			)}
			<span class="dim num">{taken(op, now.value) === undefined ? "" : duration(taken(op, now.value) ?? 0)}</span>
		</>
	);
}

function List() {
	return (
		<div class="list">
			{tasks.value.length === 0 ? (
				<p class="dim nothing">Creating a VM, building an image, starting, stopping: whatever takes time is listed here with its stages.</p>
			) : (
				<OperationTable list={tasks.value} />
			)}
		</div>
	);
}

export function OperationTable({ list, plain }: { list: Operation[]; plain?: boolean }) {
	const [opened, setOpened] = useState("");
	return (
		<table class={`table fits ops${plain ? " plain" : ""}`}>
			<thead>
				<tr>
					<th scope="col" class="started">Started</th>
					<th scope="col">Task</th>
					<th scope="col" class="result">Result</th>
					<th scope="col" class="right hide-phone">Took</th>
					<th scope="col" class="hide-phone">Asked by</th>
					<th scope="col" class="acts"><span class="sr">Actions</span></th>
				</tr>
			</thead>
			<tbody>
				{list.map((op) => (
					<Row key={op.id} op={op} open={opened === op.id} toggle={() => setOpened(opened === op.id ? "" : op.id)} />
				))}
			</tbody>
		</table>
	);
}

function Row({ op, open, toggle }: { op: Operation; open: boolean; toggle: () => void }) {
	const link = targetLink(op);
	const ms = taken(op, now.value);
	return (
		<>
			<tr>
				<td class="soft"><At time={op.started ?? op.created} /></td>
				<td>
					<button type="button" class="reveal" aria-expanded={open} onClick={toggle}>
						<Icon name={open ? "down" : "right"} />
						<span class="clip">{title(op)}</span>
					</button>
				</td>
				<td>
					<span class="row">
						<StateBadge look={opLook(op.state)} />
						{op.error && <span class="clip soft hide-phone" title={op.error.detail}>{op.error.detail}</span>}
						{!ended(op) && <span class="clip soft hide-phone">{amount(op) ?? op.stages[op.stages.length - 1]?.name}</span>}
					</span>
				</td>
				<td class="right num soft hide-phone">{ms === undefined ? "–" : duration(ms)}</td>
				<td class="soft clip hide-phone"><Who by={op.requested_by} /></td>
				<td class="right">
					<span class="row end">
						{link && <a href={link.href} title={link.title}><Icon name={link.href.startsWith("#/events") ? "events" : "open"} /><span class="sr">Show {op.target_name ?? op.target}</span></a>}
						{!ended(op) && can("operation_cancel") && (
							<Button kind="quiet" icon="close" title={`Cancel ${title(op)}`} onClick={() => void cancel(op)} />
						)}
					</span>
				</td>
			</tr>
			{open && (
				<tr class="detail">
					<td colSpan={6}>
						{op.error && (
							<p class="problem">
								<strong>{op.error.title}.</strong> {op.error.detail} {op.error.remedy}
							</p>
						)}
						{op.stages.length > 0 ? <Waterfall stages={op.stages} total={ms} /> : <p class="dim">No stages were recorded.</p>}
						<Parts op={op} />
						<p class="row dim small">
							<span>Operation <code>{op.id}</code>: the same id stands in events, logs and errors.</span>
							<Copy text={op.id} what="id of the operation" />
							<JsonButton quiet what={title(op)} request={sketch("get", "/operations/{operation}", { operation: op.id })} />
						</p>
						<AsShell recipe={ended(op) ? { label: "Show", request: sketch("get", "/operations/{operation}", { operation: op.id }), cli: `banger operation show ${op.id}` } : { label: "Cancel", request: sketch("delete", "/operations/{operation}", { operation: op.id }), cli: `banger operation cancel ${op.id}` }} />
					</td>
				</tr>
			)}
		</>
	);
}
