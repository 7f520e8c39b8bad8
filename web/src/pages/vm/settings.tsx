// SPDX-License-Identifier: Apache-2.0
/* What can be changed of a VM: form, request and command side by side; and what keeps it awake. */
import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { call, sketch, ApiError } from "../../api/client";
import { can, hasField, schemaOf } from "../../api/capabilities";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Hold, Vm, VmUpdate } from "../../api/types";
import { duration, parseSpan, spanText } from "../../lib/format";
import { curl, quote } from "../../lib/shell";
import { putVm } from "../../store/live";
import { endpoint } from "../create/example";
import { parseLabels } from "../create/labels";
import { Button, Card, Command, Switch } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { JsonButton } from "../../ui/json";
import { Until } from "../../ui/time";
import { toast } from "../../ui/toast";
import { Who } from "../../ui/who";

/** These change a machine: only while it is stopped. */
const COLD = ["vcpus", "memory_mib", "disk_mib", "nat"] as const;

function labelText(labels: Record<string, string>): string {
	return Object.entries(labels).map(([k, v]) => (v ? `${k}=${v}` : k)).join(" ");
}

/** The change as the CLI's command. */
export function setCommand(vm: Vm, body: VmUpdate): string {
	const options = Object.entries(body).flatMap(([key, value]) => {
		if (key === "labels") return Object.entries(value as Record<string, string>).map(([k, v]) => `--label ${quote(`${k}=${v}`)}`);
		if (key === "wake") return [`--wake ${String(value)}`];
		if (key === "nat") return [value ? "--nat" : "--no-nat"];
		if (key === "vcpus") return [`--vcpus ${String(value)}`];
		if (key.endsWith("_mib")) return [`--${key.replace("_mib", "")} ${String(value)}M`];
		return [`--${key.replace(/_s$/, "").replace("_", "-")} ${value ? `${String(value)}s` : "0"}`];
	});
	return ["banger vm set", quote(vm.name), ...options].join(" ");
}

type SpanField = "ttl_s" | "idle_stop_s" | "idle_suspend_s";

const number = (text: string): number | undefined => (text.trim() === "" ? undefined : Number(text));

export function SettingsTab({ vm }: { vm: Vm }) {
	const [change, setChange] = useState<VmUpdate>({});
	const [labels, setLabels] = useState(labelText(vm.labels));
	/* spans of time as they are typed */
	const [spans, setSpans] = useState<Partial<Record<SpanField, string>>>({});
	const [refused, setRefused] = useState<Error | null>(null);
	const [busy, setBusy] = useState(false);
	const cold = ["stopped", "created", "failed"].includes(vm.state);
	const schema = schemaOf("VmUpdate");
	const body: VmUpdate = {
		...Object.fromEntries(Object.entries(change).filter(([k, v]) => v !== undefined && v !== vm[k as keyof Vm])),
		...(labels.trim() === labelText(vm.labels) ? {} : { labels: parseLabels(labels) }),
	};
	const changed = Object.keys(body).length > 0;
	const set = (more: VmUpdate): void => {
		setRefused(null);
		setChange({ ...change, ...more });
	};
	const wrong = (field: keyof VmUpdate): string | undefined => {
		const property = schema?.properties?.[field];
		if (Number.isNaN(body[field])) return field.endsWith("_s") ? "A number with s, m, h or d: 90s, 15m, 2h, 7d." : "A number.";
		if (field === "disk_mib" && body.disk_mib !== undefined && body.disk_mib < vm.disk_mib) return "A disk only grows.";
		return (property && problemOf(body[field], property)) ?? (refused instanceof ApiError ? refused.at(`/${field}`) : undefined);
	};
	const valid = !Object.keys(body).some((field) => wrong(field as keyof VmUpdate));
	const save = async (): Promise<void> => {
		setBusy(true);
		try {
			putVm(await call("patch", "/vms/{vm}", { params: { vm: vm.id }, body }));
			setChange({});
			setSpans({});
			toast({ tone: "ok", title: `${vm.name} is changed` });
		} catch (error) {
			setRefused(error instanceof Error ? error : new Error(String(error)));
		} finally {
			setBusy(false);
		}
	};
	const timed = (field: SpanField, label: string, help: string, now: number | undefined): ComponentChildren => {
		const text = spans[field] ?? (now === undefined ? "" : spanText(now));
		const seconds = parseSpan(text);
		return (
			hasField("VmUpdate", field) && (
				<Row id={field} label={label} help={`${seconds ? `${duration(seconds * 1000)}. ` : ""}${help}`} wrong={wrong(field)}>
					<input
						id={`set-${field}`} class="input num" aria-describedby={`set-${field}-note`} placeholder="90s, 15m, 2h or 7d" spellcheck={false} autocomplete="off"
						value={text} aria-invalid={Boolean(wrong(field))}
						onInput={(e) => {
							setSpans({ ...spans, [field]: e.currentTarget.value });
							set({ [field]: parseSpan(e.currentTarget.value) });
						}}
					/>
				</Row>
			)
		);
	};
	const numeric = (field: "vcpus" | "memory_mib" | "disk_mib", label: string, help: string, now: number | undefined): ComponentChildren =>
		hasField("VmUpdate", field) && (
			<Row id={field} label={label} help={help} wrong={wrong(field)}>
				<input
					id={`set-${field}`} class="input num" inputMode="numeric" aria-describedby={`set-${field}-note`}
					disabled={!cold && (COLD as readonly string[]).includes(field)}
					value={Number.isNaN(change[field]) ? "" : (change[field] ?? now ?? "")}
					aria-invalid={Boolean(wrong(field))}
					onInput={(e) => set({ [field]: number(e.currentTarget.value) })}
				/>
			</Row>
		);
	return (
		<div class="columns">
			<div class="stack">
				<form
					class="stack"
					onSubmit={(event) => {
						event.preventDefault();
						if (valid && changed) void save();
					}}
				>
					<Card title="At any time">
						<div class="stack form settings-grid">
							<Row id="labels" label="Labels" help="As key=value, with spaces between them." wrong={wrong("labels")}>
								<input id="set-labels" class="input mono" aria-describedby="set-labels-note" value={labels} spellcheck={false} onInput={(e) => { setRefused(null); setLabels(e.currentTarget.value); }} />
							</Row>
							{timed("ttl_s", "Delete after", vm.expires ? "From now on; 0 takes the end away." : "From now on. It has no end now.", undefined)}
							{timed("idle_stop_s", "Stop when idle for", "Without a command, terminal, tunnel or hold; 0 for never.", vm.idle_stop_s ?? 0)}
							{timed("idle_suspend_s", "Suspend when idle for", "Its memory goes to disk, and it goes on where it was; 0 for never.", vm.idle_suspend_s ?? 0)}
							{hasField("VmUpdate", "wake") && (
								<Switch label="Whoever uses it while it is suspended wakes it" checked={(change.wake ?? vm.wake ?? "auto") === "auto"} onChange={(on) => set({ wake: on ? "auto" : "never" })} />
							)}
						</div>
					</Card>
					<Card title="While it is stopped" actions={!cold && <span class="dim">it is {vm.state}</span>}>
						<div class="stack form settings-grid">
							{numeric("vcpus", "Processors", "", vm.vcpus)}
							{numeric("memory_mib", "Memory, MiB", "", vm.memory_mib)}
							{numeric("disk_mib", "Disk, MiB", "A disk only grows.", vm.disk_mib)}
							{hasField("VmUpdate", "nat") && vm.network !== "none" && (
								<Switch label="The guest may reach the outside (NAT)" disabled={!cold} checked={change.nat ?? vm.nat} onChange={(nat) => set({ nat })} />
							)}
						</div>
					</Card>
					{refused && <p class="problem" role="alert">{sentence(refused)}</p>}
					<div class="row">
						<Button type="submit" kind="primary" label="Save" busy={busy} disabled={!changed || !valid} />
						{changed && <Button kind="quiet" label="Undo" onClick={() => { setChange({}); setSpans({}); setLabels(labelText(vm.labels)); setRefused(null); }} />}
					</div>
				</form>
			</div>
			<div class="stack">
				{can("hold_list") && <Holds vm={vm} />}
				<Card title="From a shell" actions={<JsonButton quiet what={`“${vm.name}”`} request={sketch("get", "/vms/{vm}", { vm: vm.name })} />}>
					<div class="stack">
						<Command text={curl(sketch("patch", "/vms/{vm}", { vm: vm.name }, changed ? body : { labels: vm.labels }), endpoint())} />
						{changed && <Command text={setCommand(vm, body)} />}
					</div>
				</Card>
			</div>
		</div>
	);
}

function Row({ id, label, help, wrong, children }: { id: string; label: string; help: string; wrong: string | undefined; children: ComponentChildren }) {
	return (
		<div class="field">
			<label class="name" for={`set-${id}`}>{label}</label>
			{children}
			<span id={`set-${id}-note`} class={wrong ? "wrong" : "help"}>{wrong ? <><Icon name="warn" size={14} />{wrong}</> : help}</span>
		</div>
	);
}

const HOLD_S = 3600;

function Holds({ vm }: { vm: Vm }) {
	const [list, setList] = useState<Hold[]>([]);
	const refresh = async (): Promise<void> => setList((await call("get", "/vms/{vm}/holds", { params: { vm: vm.id } })).items);
	useEffect(() => void refresh().catch(() => undefined), [vm.id]);
	const act = async (work: () => Promise<unknown>): Promise<void> => {
		try {
			await work();
		} catch (error) {
			toast({ tone: "bad", title: "The hold was not changed", body: sentence(error) });
		}
		await refresh().catch(() => undefined);
	};
	return (
		<Card
			title="Kept awake by"
			actions={can("hold_create") && <Button icon="plus" label="Hold for 1 h" onClick={() => void act(() => call("post", "/vms/{vm}/holds", { params: { vm: vm.id }, body: { ttl_s: HOLD_S, reason: "dashboard" } }))} />}
		>
			{list.length === 0 ? (
				<p class="dim">Nothing. {vm.idle_stop_s ? <>It is stopped when nobody uses it{vm.sleeps && <>, in <Until to={vm.sleeps} /></>}.</> : "It is never stopped for idleness."}</p>
			) : (
				<ul class="results">
					{list.map((hold) => (
						<li key={hold.id}>
							<span class="grow">{hold.reason ?? "a hold"} <span class="dim">by <Who by={hold.by} />, for another <Until to={hold.expires} /></span></span>
							{can("hold_delete") && <Button kind="quiet" icon="close" title="Give up this hold" onClick={() => void act(() => call("delete", "/vms/{vm}/holds/{hold}", { params: { vm: vm.id, hold: hold.id } }))} />}
						</li>
					))}
				</ul>
			)}
		</Card>
	);
}
