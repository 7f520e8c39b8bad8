// SPDX-License-Identifier: Apache-2.0
/* A new run, from nothing or from one that was. */
import { useEffect, useState } from "preact/hooks";
import { call, sketch, ApiError } from "../../api/client";
import { schemaOf } from "../../api/capabilities";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { RunCreate } from "../../api/types";
import { go } from "../../lib/router";
import { curl, split, words } from "../../lib/shell";
import { images, need, putRun, refreshImages } from "../../store/live";
import { endpoint } from "../create/example";
import { parseLabels } from "../create/labels";
import { Button, Command, Switch } from "../../ui/basics";
import { closeDialog, showDialog } from "../../ui/dialog";

export function newRun(from: Partial<RunCreate> = {}): void {
	showDialog({ title: "New run", wide: true, body: <Form from={from} /> });
}

const pairs = (labels: Record<string, string> = {}): string => Object.entries(labels).map(([k, v]) => (v ? `${k}=${v}` : k)).join(" ");

function Form({ from }: { from: Partial<RunCreate> }) {
	useEffect(() => need(images, refreshImages), []);
	const [script, setScript] = useState(from.script ?? (from.argv ? words(from.argv) : ""));
	const [shell, setShell] = useState(!from.argv);
	const [image, setImage] = useState(from.image ?? "");
	const [memory, setMemory] = useState("");
	const [timeout, setTimeout_] = useState("");
	const [labels, setLabels] = useState(pairs(from.labels));
	const [artifacts, setArtifacts] = useState((from.artifacts ?? []).join(" "));
	const [keep, setKeep] = useState(false);
	const [problem, setProblem] = useState<Error | null>(null);
	const [busy, setBusy] = useState(false);
	const argv = shell ? null : split(script);
	const body = {
		...(image ? { image } : {}),
		...(shell ? { script } : argv?.length ? { argv } : {}),
		...(memory.trim() ? { memory_mib: Number(memory) } : {}),
		...(timeout.trim() ? { timeout_s: Number(timeout) } : {}),
		...(labels.trim() ? { labels: parseLabels(labels) } : {}),
		...(artifacts.trim() ? { artifacts: artifacts.split(/\s+/).filter(Boolean) } : {}),
		...(keep ? { keep: "on_failure" as const } : {}),
	} as RunCreate;
	const schema = schemaOf("RunCreate");
	const wrong = (field: keyof RunCreate): string | undefined => {
		const property = schema?.properties?.[field];
		const value = body[field];
		return (property && value !== undefined && problemOf(value, property)) || (problem instanceof ApiError ? problem.at(`/${field}`) : undefined) || undefined;
	};
	const fields = ["memory_mib", "timeout_s", "labels", "artifacts", "image"] as const;
	const valid = script.trim() !== "" && (shell || Boolean(argv?.length)) && !fields.some(wrong);
	const submit = async (): Promise<void> => {
		setBusy(true);
		try {
			const run = await call("post", "/runs", { body });
			putRun(run);
			closeDialog();
			go(["runs", run.id]);
		} catch (error) {
			setProblem(error instanceof Error ? error : new Error(String(error)));
		} finally {
			setBusy(false);
		}
	};
	const input = (id: keyof RunCreate, label: string, value: string, set: (text: string) => void, placeholder: string, kind = "mono") => (
		<div class="field">
			<label class="name" for={`run-${id}`}>{label}</label>
			<input id={`run-${id}`} class={`input ${kind}`} value={value} placeholder={placeholder} spellcheck={false} autocomplete="off" aria-invalid={Boolean(wrong(id))}
				onInput={(e) => { setProblem(null); set(e.currentTarget.value); }} />
			{wrong(id) && <span class="wrong" role="alert">{wrong(id)}</span>}
		</div>
	);
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				if (valid) void submit();
			}}
		>
			<div class="stack">
				<div class="field">
					<label class="name" for="run-script">{shell ? "Script" : "Command"}</label>
					<textarea id="run-script" class="area mono run-script" data-autofocus value={script} placeholder={"echo hello\nmake test"} spellcheck={false}
						onInput={(e) => { setProblem(null); setScript(e.currentTarget.value); }} />
					{!shell && script.trim() && argv === null && <span class="wrong" role="alert">A quote is not closed.</span>}
					<label class="row"><input type="checkbox" class="check" checked={shell} onChange={(e) => setShell(e.currentTarget.checked)} /> in a shell</label>
				</div>
				<div class="run-fields">
					<div class="field">
						<label class="name" for="run-image">Image</label>
						<select id="run-image" class="select" value={image} onChange={(e) => setImage(e.currentTarget.value)}>
							<option value="">the default</option>
							{(images.value ?? []).map((i) => <option key={i.name} value={i.name}>{i.name}</option>)}
						</select>
						{wrong("image") && <span class="wrong" role="alert">{wrong("image")}</span>}
					</div>
					{input("memory_mib", "Memory, MiB", memory, setMemory, "the default", "num")}
					{input("timeout_s", "Killed after, seconds", timeout, setTimeout_, "3600", "num")}
					{input("labels", "Labels", labels, setLabels, "queue=ci")}
					{input("artifacts", "Keep these files or folders", artifacts, setArtifacts, "/work/report")}
				</div>
				<Switch label="Keep the VM when the command fails" checked={keep} onChange={setKeep} />
				{problem && <p class="problem" role="alert">{sentence(problem)}</p>}
				<Command text={curl({ ...sketch("post", "/runs", {}, body), headers: { Accept: "text/plain" } }, endpoint())} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Run" busy={busy} disabled={!valid} />
			</footer>
		</form>
	);
}
