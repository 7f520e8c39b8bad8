// SPDX-License-Identifier: Apache-2.0
/*
 * The repository that was put into the VM, and what was changed there since, as a patch. The guest
 * is asked for changes only when somebody wants to know: it runs git, and wakes a VM that sleeps.
 */
import { useEffect, useState } from "preact/hooks";
import { sentence } from "../../actions/actions";
import { can } from "../../api/capabilities";
import { call, send, sketch, ApiError } from "../../api/client";
import type { Vm, Workspace } from "../../api/types";
import { bytes, plural } from "../../lib/format";
import { href } from "../../lib/router";
import { quote } from "../../lib/shell";
import { Button, Card, Command, Copy, Details } from "../../ui/basics";
import { showDialog } from "../../ui/dialog";
import { AsShell } from "../../ui/recipes";
import { Ago } from "../../ui/time";
import { Who } from "../../ui/who";
import { changedFiles, type Changed } from "./patch";

const MODES: Record<string, string> = {
	tracked: "what git tracks",
	untracked: "what git tracks, and new files",
	full_copy: "everything",
};

/** undefined: not known yet; null: none was put there. */
function useWorkspace(vm: Vm): Workspace | null | undefined {
	const [found, setFound] = useState<Workspace | null | undefined>(undefined);
	useEffect(() => {
		let gone = false;
		call("get", "/vms/{vm}/workspace", { params: { vm: vm.id } })
			.then((w) => !gone && setFound(w))
			.catch((error: unknown) => !gone && error instanceof ApiError && error.status === 404 && setFound(null));
		return () => {
			gone = true;
		};
	}, [vm.id]);
	return found;
}

export function WorkspaceCard({ vm }: { vm: Vm }) {
	const workspace = useWorkspace(vm);
	if (workspace === undefined) return null;
	if (!workspace) {
		return (
			<Card title="Workspace">
				<div class="stack tight">
					<p class="dim">None. A git repository of yours, as it is now, at <code>/root/repo</code>:</p>
					<Command text={`banger workspace prepare ${quote(vm.name)} .`} />
				</div>
			</Card>
		);
	}
	return (
		<Card title="Workspace" actions={can("workspace_patch") && <Button kind="quiet" label="Changes" icon="files" title="What was changed in the guest, as a patch" disabled={vm.state !== "running"} onClick={() => showChanges(vm, workspace)} />}>
			<Details rows={rows(vm, workspace)} />
		</Card>
	);
}

function rows(vm: Vm, w: Workspace): [string, preact.ComponentChildren][] {
	const list: [string, preact.ComponentChildren][] = [
		["Folder", <a href={href(["vms", vm.name, "files", ...w.path.split("/").filter(Boolean)])}><code>{w.path}</code></a>],
	];
	if (w.source) list.push(["From", <><code class="breaks">{w.source}</code>{w.host && <span class="dim"> on {w.host}</span>}</>]);
	if (w.head) list.push(["Commit", <span class="row"><code title={w.head}>{w.head.slice(0, 12)}</code><Copy text={w.head} what="commit" /></span>]);
	if (w.branch) list.push(["Branch", <code>{w.branch}</code>]);
	if (w.mode) list.push(["Copied", <>{MODES[w.mode] ?? w.mode} <span class="dim">{bytes(w.bytes)}</span></>]);
	list.push(["Put there", <><Ago time={w.prepared} /> <span class="dim">by <Who by={w.by} /></span></>]);
	/* only the host that has the files can tell */
	if (w.fingerprint) list.push(["Still the same?", <span class="row"><code class="breaks">banger workspace show {vm.name}</code><Copy text={`banger workspace show ${quote(vm.name)}`} what="command" /></span>]);
	return list;
}

/* --- what was changed in the guest --- */

function showChanges(vm: Vm, workspace: Workspace): void {
	showDialog({ title: `Changes in the workspace of “${vm.name}”`, wide: true, body: <Changes vm={vm} workspace={workspace} /> });
}

const SHOWN_MAX = 64 * 1024;

interface Patch {
	text: string;
	base: string;
	files: Changed[];
}

async function readPatch(vm: Vm, base: string): Promise<Patch> {
	const reply = await send("get", "/vms/{vm}/workspace/patch", { params: { vm: vm.id }, query: { base_commit: base || undefined }, accept: "text/x-diff" });
	const text = await reply.text();
	return { text, base: reply.headers.get("Banger-Base-Commit") ?? "", files: changedFiles(text) };
}

function Changes({ vm, workspace }: { vm: Vm; workspace: Workspace }) {
	const [patch, setPatch] = useState<Patch | null>(null);
	const [problem, setProblem] = useState("");
	const base = workspace.head ?? "";
	useEffect(() => {
		readPatch(vm, base).then(setPatch, (error: unknown) => setProblem(sentence(error)));
	}, []);
	const recipe = {
		label: "Export as a patch",
		request: { ...sketch("get", "/vms/{vm}/workspace/patch", { vm: vm.name }), path: `/vms/${encodeURIComponent(vm.name)}/workspace/patch${base ? `?base_commit=${base}` : ""}` },
		cli: `banger workspace export ${quote(vm.name)}${base ? ` --base-commit ${base.slice(0, 12)}` : ""} | git apply`,
	};
	return (
		<div class="stack">
			{problem ? <p class="problem">{problem}</p> : !patch ? <p class="dim" role="status"><span class="spinner" /> git looks through <code>{workspace.path}</code>…</p> : <Found patch={patch} vm={vm} />}
			<AsShell recipe={recipe} />
		</div>
	);
}

function Found({ patch, vm }: { patch: Patch; vm: Vm }) {
	if (!patch.text) return <p>Nothing was changed since <code>{patch.base.slice(0, 12)}</code>.</p>;
	const download = (): void => {
		const link = document.createElement("a");
		link.href = URL.createObjectURL(new Blob([patch.text], { type: "text/x-diff" }));
		link.download = `${vm.name}.patch`;
		link.click();
		URL.revokeObjectURL(link.href);
	};
	return (
		<>
			<div class="row wrap">
				<strong>{plural(patch.files.length, "file")}</strong>
				<span class="dim">since <code>{patch.base.slice(0, 12)}</code></span>
				<span class="grow" />
				<Copy text={patch.text} what="patch" />
				<Button kind="primary" icon="download" label="Download the patch" onClick={download} />
			</div>
			<ul class="changed">
				{patch.files.map((f) => (
					<li key={f.path}>
						<code class="breaks grow">{f.path}</code>
						{f.what && <span class="dim small">{f.what}</span>}
						<span class="num plus">+{f.added}</span>
						<span class="num minus">−{f.removed}</span>
					</li>
				))}
			</ul>
			<div class="command diff">
				<pre tabIndex={0} aria-label="The patch"><code>{patch.text.slice(0, SHOWN_MAX).split("\n").map((line, i) => <Line key={i} text={line} />)}</code></pre>
			</div>
			{patch.text.length > SHOWN_MAX && <p class="dim small">The first {bytes(SHOWN_MAX)} of {bytes(patch.text.length)}; the download has all of it.</p>}
		</>
	);
}

function Line({ text }: { text: string }) {
	const look = /^(\+\+\+|---|diff |index |@@|new file|deleted file|rename |similarity )/.test(text) ? "dim" : text.startsWith("+") ? "plus" : text.startsWith("-") ? "minus" : "";
	return <span class={look || undefined}>{`${text}\n`}</span>;
}
