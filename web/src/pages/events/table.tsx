// SPDX-License-Identifier: Apache-2.0
import { useCallback, useState } from "preact/hooks";
import type { ApiEvent } from "../../api/types";
import { memo } from "../../lib/memo";
import { href } from "../../lib/router";
import { vmPlace } from "../../store/places";
import { Icon, type IconName } from "../../ui/icon";
import { JsonText } from "../../ui/json";
import { StateBadge, lookOf } from "../../ui/state";
import { At } from "../../ui/time";
import { Who } from "../../ui/who";
import { gist } from "./gist";

const ICONS: Record<string, IconName> = {
	vm: "vms", image: "image", kernel: "kernel", operation: "tasks", op: "tasks", token: "tokens", server: "host", exec: "terminal", run: "runs", snapshot: "camera", template: "fork", request: "open",
};

export function EventTable({ list, withTarget }: { list: ApiEvent[]; withTarget?: boolean }) {
	const [open, setOpen] = useState(0);
	const toggle = useCallback((id: number): void => setOpen((shown) => (shown === id ? 0 : id)), []);
	return (
		<table class={`table fits events${withTarget ? " with-target" : ""}`}>
			<thead>
				<tr>
					<th scope="col" class="at">Time</th>
					<th scope="col" class="kind"><span>Event</span></th>
					{withTarget && <th scope="col" class="on">On</th>}
					<th scope="col">What</th>
					<th scope="col" class="by hide-phone">Asked by</th>
				</tr>
			</thead>
			<tbody>
				{list.map((event) => (
					<Row key={event.id} event={event} withTarget={withTarget ?? false} shown={open === event.id} toggle={toggle} />
				))}
			</tbody>
		</table>
	);
}

function Target({ event }: { event: ApiEvent }) {
	const name = event.target_name ?? event.target ?? "";
	const area = event.kind.split(".")[0];
	if (event.target && (area === "vm" || area === "exec")) {
		const place = vmPlace(event.target, name);
		return <a class="clip" href={place.href} title={place.gone ? "It is gone: show what happened to it" : name}>{name}</a>;
	}
	if (event.target && area === "run") return <a class="clip" href={href(["runs", event.target])}>{name}</a>;
	return <span class="clip" title={name}>{name.replace(/^dashboard-\w+$/, "a browser")}</span>;
}

/* an event never changes: its row is drawn once */
const Row = memo(function Row({ event, withTarget, shown, toggle }: { event: ApiEvent; withTarget: boolean; shown: boolean; toggle: (id: number) => void }) {
	const { state, text } = gist(event);
	const area = event.kind.split(".")[0] ?? "";
	return (
		<>
			<tr>
				<td class="soft"><At time={event.time} /></td>
				<td>
					<button type="button" class="reveal" aria-expanded={shown} onClick={() => toggle(event.id)}>
						<Icon name={ICONS[area] ?? "info"} />
						<code class="clip">{event.kind}</code>
					</button>
				</td>
				{withTarget && <td><Target event={event} /></td>}
				<td>
					<span class="row">
						{state && <StateBadge look={lookOf(state)} />}
						<span class="clip soft" title={text}>{text}</span>
					</span>
				</td>
				<td class="soft hide-phone"><Who by={event.by} /></td>
			</tr>
			{shown && (
				<tr class="detail">
					<td colSpan={withTarget ? 5 : 4}><JsonText text={JSON.stringify(event, null, 2)} /></td>
				</tr>
			)}
		</>
	);
});
