// SPDX-License-Identifier: Apache-2.0
import { useState } from "preact/hooks";
import type { ApiEvent } from "../../api/types";
import { href } from "../../lib/router";
import { vms } from "../../store/live";
import { Icon, type IconName } from "../../ui/icon";
import { StateBadge, lookOf } from "../../ui/state";
import { At } from "../../ui/time";

const ICONS: Record<string, IconName> = {
	vm: "vms", image: "image", kernel: "kernel", operation: "tasks", op: "tasks", token: "tokens", server: "host",
};

/** What an event has to say beyond its kind. */
export function gist(event: ApiEvent): { state?: string; text: string } {
	const data = (event.data ?? {}) as Record<string, unknown>;
	if (Array.isArray(data["stages"])) {
		const error = data["error"] as { detail?: string } | undefined;
		return { state: String(data["state"]), text: `${String(data["kind"])}${error?.detail ? `: ${error.detail}` : ""}` };
	}
	const state = typeof data["state"] === "string" ? data["state"] : typeof data["to"] === "string" ? data["to"] : undefined;
	const reason = data["reason"] ?? data["detail"] ?? data["message"];
	const rest = Object.entries(data)
		.filter(([key, value]) => !["state", "to", "from", "reason", "detail", "message"].includes(key) && typeof value !== "object")
		.map(([key, value]) => `${key} ${String(value)}`);
	const text = [typeof reason === "string" ? reason : "", ...rest].filter(Boolean).join(" · ");
	return state === undefined ? { text } : { state, text };
}

export function EventTable({ list, withTarget }: { list: ApiEvent[]; withTarget?: boolean }) {
	const [open, setOpen] = useState(0);
	return (
		<table class="table events">
			<thead>
				<tr>
					<th scope="col">Time</th>
					<th scope="col">Event</th>
					{withTarget && <th scope="col">On</th>}
					<th scope="col">What</th>
					<th scope="col" class="hide-phone">Asked by</th>
				</tr>
			</thead>
			<tbody>
				{list.map((event) => {
					const { state, text } = gist(event);
					const area = event.kind.split(".")[0] ?? "";
					const shown = open === event.id;
					return (
						<>
							<tr key={event.id}>
								<td class="soft"><At time={event.time} /></td>
								<td>
									<button type="button" class="reveal" aria-expanded={shown} onClick={() => setOpen(shown ? 0 : event.id)}>
										<Icon name={ICONS[area] ?? "info"} />
										<code>{event.kind}</code>
									</button>
								</td>
								{withTarget && (
									<td>
										{event.target && (area === "vm" || vms.value.has(event.target)) ? (
											<a href={href(["vms", event.target_name ?? event.target])}>{event.target_name ?? event.target}</a>
										) : (
											<span class="clip">{event.target_name ?? event.target ?? ""}</span>
										)}
									</td>
								)}
								<td>
									<span class="row">
										{state && <StateBadge look={lookOf(state)} />}
										<span class="clip soft" title={text}>{text}</span>
									</span>
								</td>
								<td class="soft hide-phone">{event.by ?? "–"}</td>
							</tr>
							{shown && (
								<tr class="detail" key={`${event.id}-open`}>
									<td colSpan={withTarget ? 5 : 4}><pre class="raw" tabIndex={0}>{JSON.stringify(event, null, 2)}</pre></td>
								</tr>
							)}
						</>
					);
				})}
			</tbody>
		</table>
	);
}
