// SPDX-License-Identifier: Apache-2.0
/* One screen: what matters first, the rest folded away, the same request as a command beside it. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { call, sketch, ApiError } from "../../api/client";
import { hasField, schemaOf, type Schema } from "../../api/capabilities";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Operation, Vm, VmCreate } from "../../api/types";
import { duration, mib, plural } from "../../lib/format";
import { go, href, route } from "../../lib/router";
import { curl } from "../../lib/shell";
import { images, kernels, need, operations, putOperation, putVm, refreshImages, refreshKernels, refreshSnapshots, snapshots, vmList } from "../../store/live";
import { now } from "../../store/clock";
import { Button, Card, Command, Copy, LinkButton, Switch } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { StateBadge, opLook } from "../../ui/state";
import { Waterfall } from "../../ui/waterfall";
import { cancel, taken } from "../../shell/dock";
import { PhonePreferences } from "../../shell/nav";
import { createCommand } from "./command";
import { endpoint } from "./example";
import { freeName } from "./names";
import { ImageField } from "./image";
import { LabelField, parseLabels } from "./labels";
import { TemplateField } from "./template";
import "./create.css";

type Draft = Partial<VmCreate>;

const MEMORY = [256, 512, 1024, 2048, 4096, 8192];
const VCPUS = [1, 2, 4, 8];
const DISKS = [1024, 2048, 4096, 8192, 16384];
const LIFE: [string, number | undefined][] = [
	["Until deleted", undefined], ["1 hour", 3600], ["8 hours", 28_800], ["1 day", 86_400], ["1 week", 604_800],
];
const IDLE: [string, number | undefined][] = [["Never", undefined], ["10 minutes", 600], ["1 hour", 3600], ["8 hours", 28_800]];
const NETWORKS: Record<string, [string, string]> = {
	none: ["None", "no device; exec and files still work"],
	user: ["User", "outgoing connections, no privileges"],
	bridge: ["Bridge", "an address of its own, through the root helper"],
};
const BOOTS: Record<string, [string, string]> = {
	auto: ["Automatic", "a clone of a template where there is one"],
	cold: ["Cold", "boots from scratch"],
	template: ["Clone only", "fails where there is no template"],
};
const INITS: Record<string, [string, string]> = {
	agent: ["Agent", "quickest; runs the image's own command"],
	system: ["System", "the image's own init, with its services"],
};

const SHAPE = ["image", "kernel", "vcpus", "memory_mib", "disk_mib", "network", "init"] as const;

export default function CreatePage() {
	const [draft, setDraft] = useState<Draft>(() => {
		const image = route.peek().query.get("image");
		const snapshot = route.peek().query.get("from_snapshot");
		return { name: freeName(new Set(vmList.peek().map((vm) => vm.name))), vcpus: 1, memory_mib: 512, ...(image ? { image } : {}), ...(snapshot ? { from_snapshot: snapshot, vcpus: undefined, memory_mib: undefined } : {}) };
	});
	const [labels, setLabels] = useState("");
	const [refused, setRefused] = useState<ApiError | Error | null>(null);
	const [busy, setBusy] = useState(false);
	const [operation, setOperation] = useState("");
	useEffect(() => {
		need(images, refreshImages);
		need(kernels, refreshKernels);
	}, []);

	const set = (change: Draft): void => {
		setRefused(null);
		setDraft((before) => {
			const after = { ...before, ...change };
			/* another shape than the template's: it may boot by itself */
			const other = before.boot === "template" && !("boot" in change) && SHAPE.some((field) => field in change && change[field] !== before[field]);
			return other ? { ...after, boot: undefined } : after;
		});
	};
	const parsed = parseLabels(labels);
	const body = useMemo((): VmCreate => {
		const full: Draft = { ...draft, ...(Object.keys(parsed).length ? { labels: parsed } : {}) };
		return Object.fromEntries(Object.entries(full).filter(([, v]) => v !== undefined && v !== "")) as VmCreate;
	}, [draft, labels]);
	const schema = schemaOf("VmCreate");
	const wrong = (field: keyof VmCreate): string | undefined => {
		const property = schema?.properties?.[field];
		const local = property && problemOf(body[field], property);
		if (local) return local;
		if (field === "name" && vmList.value.some((vm) => vm.name === body.name)) return "A VM of this name is there already.";
		return refused instanceof ApiError ? refused.at(`/${field}`) : undefined;
	};
	const fields = Object.keys(schema?.properties ?? {}) as (keyof VmCreate)[];
	const valid = fields.every((field) => field === "labels" ? !wrong(field) : !wrong(field) || (refused instanceof ApiError && Boolean(refused.at(`/${field}`))));

	const submit = async (): Promise<void> => {
		setBusy(true);
		setRefused(null);
		try {
			const reply = await call("post", "/vms", { body });
			if ("stages" in reply && "kind" in reply) {
				putOperation(reply as Operation);
				setOperation((reply as Operation).id);
			} else {
				putVm(reply as Vm);
				go(["vms", (reply as Vm).name]);
			}
		} catch (error) {
			setRefused(error instanceof Error ? error : new Error(String(error)));
		} finally {
			setBusy(false);
		}
	};
	if (operation) return <Creating id={operation} name={body.name ?? ""} back={() => setOperation("")} />;
	return (
		<form
			class="page narrow"
			novalidate
			onSubmit={(event) => {
				event.preventDefault();
				if (valid) void submit();
			}}
		>
			<header class="page-head">
				<nav class="crumbs" aria-label="You are here">
					<a href={href(["vms"])} class="soft">VMs</a>
					<Icon name="right" size={12} />
					<h1>New VM</h1>
				</nav>
				<div class="actions"><PhonePreferences /></div>
			</header>
			<div class="create">
				<div class="stack">
					<Card>
						<div class="stack form">
							<Field id="vm-name" label="Name" wrong={wrong("name")} help="Its address in the API and, on the bridge, in DNS.">
								<div class="row">
									<input id="vm-name" aria-describedby="vm-name-note" class="input mono" value={draft.name ?? ""} spellcheck={false} autocomplete="off" placeholder="chosen by the server"
										aria-invalid={Boolean(wrong("name"))} onInput={(e) => set({ name: e.currentTarget.value })} data-autofocus />
									<Button icon="restart" title="Another name" onClick={() => set({ name: freeName(new Set(vmList.peek().map((vm) => vm.name))) })} />
								</div>
							</Field>
							{draft.from_snapshot ? <FromSnapshot id={draft.from_snapshot} memory={draft.restore_memory ?? true} onMemory={(restore_memory) => set({ restore_memory })} /> : <>
							<TemplateField draft={draft} onPick={set} />
							<ImageField value={draft.image} onChange={(image) => set({ image })} wrong={wrong("image")} />
							<div class="pair">
								<Numbers label="Processors" unit="vCPU" choices={VCPUS} text={String} value={draft.vcpus} wrong={wrong("vcpus")} onChange={(vcpus) => set({ vcpus })} />
								<Numbers label="Memory" unit="MiB" choices={MEMORY} text={mib} value={draft.memory_mib} wrong={wrong("memory_mib")} onChange={(memory_mib) => set({ memory_mib })} />
							</div>
							</>}
							{hasField("VmCreate", "ttl_s") && (
								<Choice label="Lives" options={LIFE.map(([text, s]) => ({ value: String(s ?? ""), text }))} value={String(draft.ttl_s ?? "")}
									onChange={(v) => set({ ttl_s: v ? Number(v) : undefined })} wrong={wrong("ttl_s")} help={draft.ttl_s ? "Then it is deleted, with its disk." : "It stays until somebody deletes it."} />
							)}
						</div>
					</Card>
					{!draft.from_snapshot && <details class="card advanced" open={route.value.query.has("advanced")}>
						<summary><Icon name="right" /> Disk, network, kernel, labels, boot</summary>
						<div class="body stack form">
							{hasField("VmCreate", "disk_mib") && (
								<Numbers label="Disk" unit="MiB" choices={DISKS} text={mib} value={draft.disk_mib} wrong={wrong("disk_mib")}
									onChange={(disk_mib) => set({ disk_mib })} optional help="What the VM may write; sparse on the host." />
							)}
							{hasField("VmCreate", "network") && <Cards label="Network" schema={schemaOf("Network")} texts={NETWORKS} value={draft.network} onChange={(v) => set({ network: v as VmCreate["network"] })} />}
							{hasField("VmCreate", "nat") && draft.network !== "none" && (
								<Switch label="The guest may reach the outside (NAT)" checked={draft.nat ?? true} onChange={(nat) => set({ nat })} />
							)}
							{hasField("VmCreate", "kernel") && (
								<Field id="vm-kernel" label="Kernel" wrong={wrong("kernel")}>
									<select id="vm-kernel" aria-describedby="vm-kernel-note" class="select" value={draft.kernel ?? ""} onChange={(e) => set({ kernel: e.currentTarget.value || undefined })}>
										<option value="">The default{kernels.value?.find((k) => k.default) ? ` (${kernels.value.find((k) => k.default)?.name})` : ""}</option>
										{kernels.value?.map((k) => <option key={k.name} value={k.name}>{k.name} · {k.version}</option>)}
									</select>
								</Field>
							)}
							{hasField("VmCreate", "labels") && <LabelField value={labels} onChange={(v) => { setRefused(null); setLabels(v); }} wrong={wrong("labels")} />}
							{hasField("VmCreate", "boot") && <Cards label="Boot" schema={schemaOf("Boot")} texts={BOOTS} value={draft.boot} onChange={(v) => set({ boot: v as VmCreate["boot"] })} />}
							{hasField("VmCreate", "init") && <Cards label="First process" schema={schemaOf("Init")} texts={INITS} value={draft.init} onChange={(v) => set({ init: v as VmCreate["init"] })} />}
							{hasField("VmCreate", "idle_stop_s") && (
								<Choice label="Stops when idle" options={IDLE.map(([text, s]) => ({ value: String(s ?? ""), text }))} value={String(draft.idle_stop_s ?? "")}
									onChange={(v) => set({ idle_stop_s: v ? Number(v) : undefined })} wrong={wrong("idle_stop_s")} help="After this time without a command, terminal, tunnel or hold. Its disk stays." />
							)}
							{hasField("VmCreate", "start") && <Switch label="Start it at once" checked={draft.start ?? true} onChange={(start) => set({ start })} />}
						</div>
					</details>}
					{refused && <Refused error={refused} />}
					<div class="row">
						<Button type="submit" kind="primary" icon="plus" label="Create" busy={busy} disabled={!valid} />
						<LinkButton label="Cancel" href={href(["vms"])} kind="quiet" />
						<span class="dim small">{summary(body)}</span>
					</div>
				</div>
				<Preview body={body} />
			</div>
		</form>
	);
}

/** It decides image, sizes and network. */
function FromSnapshot({ id, memory, onMemory }: { id: string; memory: boolean; onMemory: (memory: boolean) => void }) {
	useEffect(() => need(snapshots, refreshSnapshots), []);
	const snapshot = snapshots.value?.find((s) => s.id === id);
	return (
		<div class="field">
			<span class="name">From snapshot</span>
			<p>
				{snapshot ? (
					<><strong>{snapshot.name ?? snapshot.id}</strong> of {snapshot.vm_name}: {snapshot.image}, {plural(snapshot.vcpus, "vCPU")}, {mib(snapshot.memory_mib)}</>
				) : (
					<code>{id}</code>
				)}
			</p>
			{snapshot?.memory && <Switch label="Go on from its memory (otherwise it boots from its disk)" checked={memory} onChange={onMemory} />}
		</div>
	);
}

function summary(body: VmCreate): string {
	return [body.vcpus && plural(body.vcpus, "vCPU"), body.memory_mib && mib(body.memory_mib)].filter(Boolean).join(", ");
}

function Refused({ error }: { error: Error }) {
	const elsewhere = error instanceof ApiError ? (error.problem.errors ?? []) : [];
	return (
		<div class="problem" role="alert">
			<strong>{error instanceof ApiError && error.problem.title ? `${error.problem.title}. ` : ""}</strong>
			{sentence(error)}
			{elsewhere.map((e, i) => (
				<div key={i}><code>{e.pointer ?? e.parameter}</code> {e.detail} {e.remedy}</div>
			))}
		</div>
	);
}

/** The control inside has the id `id`, and `id`-note as its description. */
function Field({ id, label, help, wrong, children }: { id: string; label: string; help?: string | undefined; wrong?: string | undefined; children: ComponentChildren }) {
	return (
		<div class="field">
			<label class="name" for={id}>{label}</label>
			{children}
			<span id={`${id}-note`} class={wrong ? "wrong" : "help"}>{wrong ? <><Icon name="warn" size={14} />{wrong}</> : help}</span>
		</div>
	);
}

interface Option {
	value: string;
	text: string;
}

function Choice({ label, options, value, onChange, help, wrong }: {
	label: string; options: Option[]; value: string; onChange: (value: string) => void; help?: string; wrong?: string | undefined;
}) {
	return (
		<fieldset class="field">
			<legend class="name">{label}</legend>
			<div class="segments">
				{options.map((option) => (
					<label key={option.value} class={value === option.value ? "on" : ""}>
						<input type="radio" class="sr" name={label} checked={value === option.value} onChange={() => onChange(option.value)} />
						{option.text}
					</label>
				))}
			</div>
			{wrong ? <span class="wrong"><Icon name="warn" size={14} />{wrong}</span> : help && <span class="help">{help}</span>}
		</fieldset>
	);
}

function Numbers({ label, unit, choices, text, value, onChange, wrong, optional, help }: {
	label: string; unit: string; choices: number[]; text: (n: number) => string; value: number | undefined;
	onChange: (n: number | undefined) => void; wrong?: string | undefined; optional?: boolean; help?: string;
}) {
	return (
		<fieldset class="field">
			<legend class="name">{label}</legend>
			<div class="row wrap">
				<div class="segments">
					{choices.map((n) => (
						<label key={n} class={value === n ? "on num" : "num"}>
							<input type="radio" class="sr" name={label} checked={value === n} onChange={() => onChange(n)} />
							{text(n)}
						</label>
					))}
				</div>
				<span class="with-unit">
					<input class="input num" inputMode="numeric" aria-label={`${label} in ${unit}`} value={value ?? ""} placeholder={optional ? "default" : ""}
						aria-invalid={Boolean(wrong)}
						onInput={(e) => {
							const raw = e.currentTarget.value.trim();
							onChange(raw === "" ? undefined : Number(raw));
						}} />
					<span class="unit">{unit}</span>
				</span>
			</div>
			{wrong ? <span class="wrong"><Icon name="warn" size={14} />{wrong}</span> : help && <span class="help">{help}</span>}
		</fieldset>
	);
}

function Cards({ label, schema, texts, value, onChange }: {
	label: string; schema: Schema | undefined; texts: Record<string, [string, string]>; value: string | undefined; onChange: (value: string | undefined) => void;
}) {
	const options = schema?.enum ?? Object.keys(texts);
	return (
		<fieldset class="field">
			<legend class="name">{label}</legend>
			<div class="choice-cards">
				{["", ...options].map((option) => (
					<label key={option} class={(value ?? "") === option ? "on" : ""}>
						<input type="radio" class="sr" name={label} checked={(value ?? "") === option} onChange={() => onChange(option || undefined)} />
						<strong>{option ? (texts[option]?.[0] ?? option) : "Default"}</strong>
						<span class="dim small">{option ? texts[option]?.[1] : "what the server is set to"}</span>
					</label>
				))}
			</div>
		</fieldset>
	);
}

function Preview({ body }: { body: VmCreate }) {
	const request = { ...sketch("post", "/vms", {}, body), headers: { Prefer: "wait=60" } };
	const command = createCommand(body);
	return (
		<aside class="stack preview" aria-label="The same as a command">
			<Card title="As curl"><Command text={curl(request, endpoint())} what="curl command" /></Card>
			{command && <Card title="As CLI"><Command text={command} what="CLI command" /></Card>}
			<Card title="As JSON" actions={<Copy text={JSON.stringify(body)} what="JSON" />}>
				<pre class="raw" tabIndex={0}>{JSON.stringify(body, null, 2)}</pre>
			</Card>
		</aside>
	);
}

/* --- progress --- */

function Creating({ id, name, back }: { id: string; name: string; back: () => void }) {
	const op = operations.value.find((o) => o.id === id);
	const done = op?.state === "succeeded";
	useEffect(() => {
		if (!done) return;
		const timer = window.setTimeout(() => go(["vms", op?.target_name ?? op?.target ?? name]), 500);
		return () => window.clearTimeout(timer);
	}, [done]);
	if (!op) return null;
	const total = taken(op, now.value);
	const over = op.state === "failed" || op.state === "cancelled";
	return (
		<div class="page narrow">
			<header class="page-head">
				<h1>{done ? "Created" : over ? "Not created" : "Creating"} {op.target_name ?? name}</h1>
				<StateBadge pill look={opLook(op.state)} note={total === undefined ? undefined : duration(total)} />
			</header>
			<Card title="Stages">
				{op.stages.length ? <Waterfall stages={op.stages} total={total} /> : <p class="dim">Waiting for its turn.</p>}
			</Card>
			{op.error && (
				<div class="problem" role="alert">
					<strong>{op.error.title}.</strong> {op.error.detail} {op.error.remedy}
				</div>
			)}
			<div class="row">
				{over && <Button kind="primary" icon="left" label="Back to the form" onClick={back} />}
				{!over && !done && <Button label="Cancel" onClick={() => void cancel(op)} />}
				{!over && <LinkButton kind="quiet" label="Go on without waiting" href={href(["vms"])} />}
			</div>
			{!over && !done && <p class="dim">You can close this page: the work goes on and stands in the task log below.</p>}
		</div>
	);
}
