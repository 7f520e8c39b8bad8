// SPDX-License-Identifier: Apache-2.0
/* The guest's files: browse, look into, upload by drop, download, delete. */
import { useEffect, useRef, useState } from "preact/hooks";
import { filePath, joined, listFolder, modeText, save, segmentsOf, type Entry } from "../../../api/files";
import { send } from "../../../api/client";
import { can } from "../../../api/capabilities";
import { sentence } from "../../../actions/actions";
import type { Vm } from "../../../api/types";
import { bytes, count, plural } from "../../../lib/format";
import { useKeys } from "../../../lib/keys";
import { phone } from "../../../lib/media";
import { go, href } from "../../../lib/router";
import { curl, quote } from "../../../lib/shell";
import { visible } from "../../../lib/visible";
import { endpoint } from "../../create/example";
import { Button, Command, Empty, Loading, copyText } from "../../../ui/basics";
import { ask, showDialog } from "../../../ui/dialog";
import { Icon, type IconName } from "../../../ui/icon";
import { showJson } from "../../../ui/json";
import { Menu, type MenuEntry } from "../../../ui/menu";
import { AsShell } from "../../../ui/recipes";
import { Ago } from "../../../ui/time";
import { toast } from "../../../ui/toast";
import { WhenUp } from "../when-up";
import { NewFolder, Viewer } from "./dialogs";
import { Uploads, uploadAll, uploadsOf } from "./uploads";
import "./files.css";

const SHOWN = 500;
type Order = "name" | "size" | "modified";

const ICONS: Record<string, IconName> = { dir: "files", file: "logs", link: "open" };

function ordered(list: Entry[], order: Order, back: boolean): Entry[] {
	const key = (e: Entry): string | number => (order === "size" ? -e.size : order === "modified" ? -Date.parse(e.modified ?? "") || 0 : e.name.toLowerCase());
	const folder = (e: Entry): number => (e.type === "dir" ? 0 : 1);
	return [...list].sort((a, b) => {
		const [x, y] = [key(a), key(b)];
		return folder(a) - folder(b) || (x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1) * (back ? -1 : 1);
	});
}

export function FilesTab({ vm, rest }: { vm: Vm; rest: string[] }) {
	if (vm.state !== "running") return <WhenUp vm={vm} icon="files">Its files are read and written by its agent, which works while the VM runs.</WhenUp>;
	return <Browser vm={vm} at={rest} key={joined(rest)} />;
}

const addressOf = (vm: Vm, at: string[]): string[] => ["vms", vm.name, "files", ...at];

function Browser({ vm, at }: { vm: Vm; at: string[] }) {
	const [list, setList] = useState<Entry[] | null>(null);
	const [truncated, setTruncated] = useState(false);
	const [problem, setProblem] = useState("");
	const [wanted, setWanted] = useState("");
	const [all, setAll] = useState(false);
	const [sort, setSort] = useState<[Order, boolean]>(["name", false]);
	const [over, setOver] = useState(false);
	const picker = useRef<HTMLInputElement>(null);

	const refresh = async (signal?: AbortSignal): Promise<void> => {
		try {
			const folder = await listFolder(vm.id, at, signal);
			setList(folder.entries);
			setTruncated(folder.truncated);
			setProblem("");
		} catch (error) {
			if (signal?.aborted) return;
			setList((old) => old ?? []);
			setProblem(sentence(error));
		}
	};
	useEffect(() => {
		const control = new AbortController();
		void refresh(control.signal);
		return () => control.abort();
	}, [vm.id]);
	useKeys([{ keys: "Backspace", label: "Folder above", group: "Files", run: () => at.length > 0 && go(addressOf(vm, at.slice(0, -1))) }]);

	const send_ = async (files: File[]): Promise<void> => {
		if (files.length === 0) return;
		const taken = files.filter((f) => list?.some((e) => e.name === f.name));
		if (taken.length) {
			const sure = await ask({
				title: taken.length === 1 ? `Replace “${taken[0]?.name}”?` : `Replace ${plural(taken.length, "file")}?`,
				body: `What ${taken.length === 1 ? "it holds" : "they hold"} now is lost: ${taken.slice(0, 6).map((f) => f.name).join(", ")}${taken.length > 6 ? "…" : ""}`,
				confirm: "Replace", danger: true,
			});
			if (!sure) return;
		}
		await uploadAll(vm, at, files);
		await refresh();
	};
	const remove = async (entry: Entry): Promise<void> => {
		const folder = entry.type === "dir";
		const sure = await ask({
			title: `Delete “${visible(entry.name)}”?`,
			body: folder ? `The folder ${visible(joined([...at, entry.name]))} and everything in it are gone for good.` : `${visible(joined([...at, entry.name]))} is gone for good.`,
			confirm: "Delete", danger: true,
			extra: <AsShell recipe={{ label: "Delete", request: { method: "DELETE", path: `${filePath(vm.name, [...at, entry.name])}${folder ? "?recursive=true" : ""}` } }} />,
		});
		if (!sure) return;
		try {
			await send("delete", filePath(vm.id, [...at, entry.name]), { query: { recursive: folder } });
		} catch (error) {
			toast({ tone: "bad", title: `“${visible(entry.name)}” was not deleted`, body: sentence(error) });
		}
		await refresh();
	};
	const needle = wanted.toLowerCase();
	const found = ordered((list ?? []).filter((e) => e.name.toLowerCase().includes(needle)), ...sort);
	const shown = all ? found : found.slice(0, SHOWN);
	const writes = can("file_put");
	return (
		<div
			class={`stack files${over ? " over" : ""}`}
			onDragOver={(event) => {
				if (!writes || !event.dataTransfer?.types.includes("Files")) return;
				event.preventDefault();
				setOver(true);
			}}
			onDragLeave={(event) => !event.currentTarget.contains(event.relatedTarget as Node | null) && setOver(false)}
			onDrop={(event) => {
				if (!writes) return;
				event.preventDefault();
				setOver(false);
				void send_([...(event.dataTransfer?.files ?? [])]);
			}}
		>
			<div class="row wrap files-bar">
				<Place vm={vm} at={at} />
				<span class="grow" />
				<input class="input files-find" aria-label="Find in this folder" placeholder="Find" value={wanted} spellcheck={false} onInput={(e) => setWanted(e.currentTarget.value)} />
				{writes && (
					<>
						<input ref={picker} type="file" multiple class="sr" tabIndex={-1} aria-label="Files to upload" onChange={(e) => {
							const input = e.currentTarget;
							const files = [...(input.files ?? [])];
							input.value = "";
							void send_(files);
						}} />
						<Button kind="primary" icon="upload" title="Upload" label={phone.value ? undefined : "Upload"} onClick={() => picker.current?.click()} />
					</>
				)}
				<Menu kind="normal" title="More about this folder" items={() => folderMenu(vm, at, () => void refresh())} />
			</div>
			{uploadsOf(vm).length > 0 && <Uploads vm={vm} />}
			{problem && <p class="problem" role="alert">{problem}</p>}
			{list === null ? (
				<Loading what="the folder" />
			) : problem && list.length === 0 ? null : list.length === 0 ? (
				<Empty icon="files" title="This folder is empty">
					{writes && <p>Drop files here to upload them.</p>}
				</Empty>
			) : (
				<section class="card flush scroll">
					<table class="table fits files-table">
						<thead>
							<tr>
								<Head order="name" label="Name" sort={sort} set={setSort} />
								<Head order="size" label="Size" right w="size" sort={sort} set={setSort} />
								<Head order="modified" label="Changed" right hide sort={sort} set={setSort} />
								<th scope="col" class="hide-phone">Mode</th>
								<th scope="col" class="hide-phone">Owner</th>
								<th scope="col" class="acts"><span class="sr">Actions</span></th>
							</tr>
						</thead>
						<tbody>
							{shown.map((entry) => (
								<Row key={entry.name} vm={vm} at={at} entry={entry} remove={() => void remove(entry)} refresh={() => void refresh()} />
							))}
						</tbody>
					</table>
					{found.length === 0 && <p class="dim nothing">Nothing here has “{wanted}” in its name.</p>}
					{found.length > shown.length && (
						<p class="foot-note"><Button label={`Show all ${count(found.length)}`} onClick={() => setAll(true)} /></p>
					)}
					{truncated && <p class="foot-note soft">There are more entries than the server lists.</p>}
				</section>
			)}
			{over && <div class="drop-here" aria-hidden="true"><Icon name="upload" size={24} /> Drop to upload to {joined(at)}</div>}
		</div>
	);
}

function Place({ vm, at }: { vm: Vm; at: string[] }) {
	const [typing, setTyping] = useState<string | null>(null);
	if (typing !== null) {
		return (
			<form
				class="files-go"
				onSubmit={(event) => {
					event.preventDefault();
					setTyping(null);
					go(addressOf(vm, segmentsOf(typing)));
				}}
			>
				<input class="input mono" aria-label="Path to go to" value={typing} spellcheck={false} autocomplete="off"
					ref={(el) => {
						if (el && typing === joined(at)) el.focus();
					}}
					onInput={(e) => setTyping(e.currentTarget.value)} onBlur={() => setTyping(null)}
					onKeyDown={(e) => e.key === "Escape" && setTyping(null)} />
			</form>
		);
	}
	return (
		<nav class="files-path mono" aria-label="Folder">
			<a href={href(addressOf(vm, []))} aria-current={at.length ? undefined : "page"} aria-label="Root folder">/</a>
			{at.map((name, i) => (
				<span key={i}>
					{i > 0 && <span class="dim">/</span>}
					<a href={href(addressOf(vm, at.slice(0, i + 1)))} aria-current={i === at.length - 1 ? "page" : undefined}>{visible(name)}</a>
				</span>
			))}
			<Button kind="quiet" icon="right" title="Go to a path" onClick={() => setTyping(joined(at))} />
		</nav>
	);
}

function Head({ order, label, right, hide, w, sort: [by, back], set }: {
	order: Order; label: string; right?: boolean; hide?: boolean; w?: string; sort: [Order, boolean]; set: (sort: [Order, boolean]) => void;
}) {
	const on = by === order;
	return (
		<th scope="col" class={`${right ? "right" : ""}${hide ? " hide-phone" : ""}${w ? ` ${w}` : ""}`} aria-sort={on ? (back ? "descending" : "ascending") : "none"}>
			<button type="button" class={`sorter${on ? (back ? " on back" : " on") : ""}`} onClick={() => set([order, on ? !back : false])}>
				{label}
			</button>
		</th>
	);
}

function Row({ vm, at, entry, remove, refresh }: { vm: Vm; at: string[]; entry: Entry; remove: () => void; refresh: () => void }) {
	const path = [...at, entry.name];
	const name = visible(entry.name);
	const folder = entry.type === "dir";
	const regular = entry.type === "file";
	const look = (): void => showDialog({ title: name, wide: true, body: <Viewer vm={vm} path={path} entry={entry} saved={refresh} /> });
	const follow = entry.type === "link" && entry.target !== undefined;
	const menu = (): MenuEntry[] => [
		...(folder ? [{ label: "Download as tar", icon: "download" as const, run: () => void fetchTo(`${filePath(vm.id, path)}?tar=true`, `${entry.name}.tar`) }] : []),
		...(regular ? [{ label: "Look into", icon: "logs" as const, run: look }, { label: "Download", icon: "download" as const, run: () => void fetchTo(filePath(vm.id, path), entry.name) }] : []),
		{ label: "As curl…", icon: "terminal", run: () => showFileCommands(vm, path, entry.type) },
		{ label: "Copy path", icon: "copy", run: () => void copyText(joined(path), "Path") },
		...(can("file_delete") ? ["line" as const, { label: "Delete", icon: "trash" as const, danger: true, run: remove }] : []),
	];
	return (
		<tr>
			<td>
				<span class="row">
					<Icon name={ICONS[entry.type] ?? "settings"} />
					{folder ? (
						<a class="clip" href={href(addressOf(vm, path))} title={name}>{name}</a>
					) : regular ? (
						<button type="button" class="linklike clip" onClick={look} title={name}>{name}</button>
					) : (
						<span class="clip" title={name}>{name}</span>
					)}
					{follow && <span class="dim clip">→ <a href={href(addressOf(vm, segmentsOf(entry.target?.startsWith("/") ? entry.target : `${joined(at)}/${entry.target}`)))}>{visible(entry.target ?? "")}</a></span>}
					{!folder && !regular && !follow && <span class="label">{entry.type}</span>}
				</span>
			</td>
			<td class="right num soft">{regular ? bytes(entry.size) : ""}</td>
			<td class="right soft hide-phone">{entry.modified && Date.parse(entry.modified) > 0 ? <Ago time={entry.modified} /> : <span class="dim">–</span>}</td>
			<td class="hide-phone"><code class="soft">{modeText(entry.type, entry.mode)}</code></td>
			<td class="num soft hide-phone">{entry.uid}:{entry.gid}</td>
			<td class="right">
				<span class="row end">
					{regular && <Button kind="quiet" class="hide-phone" icon="download" title={`Download ${name}`} onClick={() => void fetchTo(filePath(vm.id, path), entry.name)} />}
					<Menu title={`Actions for ${name}`} items={menu} />
				</span>
			</td>
		</tr>
	);
}

async function fetchTo(path: string, name: string): Promise<void> {
	try {
		await save(path, name);
	} catch (error) {
		toast({ tone: "bad", title: `${visible(name)} could not be downloaded`, body: sentence(error) });
	}
}

function folderMenu(vm: Vm, at: string[], refresh: () => void): MenuEntry[] {
	const name = at[at.length - 1] ?? vm.name;
	return [
		...(can("file_put") ? [{ label: "New folder…", icon: "plus" as const, run: () => showDialog({ title: "New folder", body: <NewFolder vm={vm} at={at} done={refresh} /> }) }] : []),
		...(at.length ? [{ label: "Download this folder as tar", icon: "download" as const, run: () => void fetchTo(`${filePath(vm.id, at)}?tar=true`, `${name}.tar`) }] : []),
		{ label: "Read it again", icon: "restart", run: refresh },
		{ label: "As curl…", icon: "terminal", run: () => showFileCommands(vm, at, "dir") },
		{ label: "JSON…", icon: "json", run: () => showJson(joined(at), { method: "GET", path: filePath(vm.name, at) }) },
		{ label: "Copy path", icon: "copy", run: () => void copyText(joined(at), "Path") },
	];
}

function showFileCommands(vm: Vm, path: string[], type: string): void {
	const target = filePath(vm.name, path);
	const name = path[path.length - 1] ?? "root";
	const folder = type === "dir";
	const get = (to: string, query = ""): string => `${curl({ method: "GET", path: target + query }, endpoint())} \\\n  -o ${quote(to)}`;
	const put = (from: string, query: string, kind: string): string =>
		`${curl({ method: "PUT", path: target + query, headers: { "Content-Type": kind } }, endpoint())} \\\n  -T ${quote(from)}`;
	showDialog({
		title: `${visible(joined(path))} from a shell`, wide: true,
		body: (
			<div class="stack">
				{folder && <Command text={curl({ method: "GET", path: target }, endpoint())} what="curl command: list" />}
				<Command text={folder ? get(`${name}.tar`, "?tar=true") : get(name)} what="curl command: download" />
				{can("file_put") && <Command text={folder ? put(`${name}.tar`, "?tar=true", "application/x-tar") : put(name, "", "application/octet-stream")} what="curl command: upload" />}
			</div>
		),
	});
}
