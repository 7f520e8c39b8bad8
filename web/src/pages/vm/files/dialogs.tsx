// SPDX-License-Identifier: Apache-2.0
/* A look into a file, and a new folder. */
import { useEffect, useState } from "preact/hooks";
import { filePath, peek, save, upload, type Entry } from "../../../api/files";
import { can } from "../../../api/capabilities";
import { sentence } from "../../../actions/actions";
import type { Vm } from "../../../api/types";
import { bytes } from "../../../lib/format";
import { Button, Loading } from "../../../ui/basics";
import { closeDialog } from "../../../ui/dialog";
import { toast } from "../../../ui/toast";

const LOOK_MAX = 256 * 1024;
/** An archive without entries: two blocks of zeros. */
const EMPTY_TAR = new Uint8Array(1024);

export function Viewer({ vm, path, entry, saved }: { vm: Vm; path: string[]; entry: Entry; saved: () => void }) {
	const [content, setContent] = useState<{ text: string | undefined; whole: boolean } | null>(null);
	const [edited, setEdited] = useState<string | null>(null);
	const [problem, setProblem] = useState("");
	const [busy, setBusy] = useState(false);
	useEffect(() => {
		let gone = false;
		peek(vm.id, path, LOOK_MAX)
			.then((found) => !gone && setContent(found))
			.catch((error: unknown) => !gone && setProblem(sentence(error)));
		return () => {
			gone = true;
		};
	}, []);
	const store = async (text: string): Promise<void> => {
		setBusy(true);
		const query = `?mode=${(entry.mode & 0o7777).toString(8).padStart(3, "0")}&uid=${entry.uid}&gid=${entry.gid}`;
		try {
			await upload(filePath(vm.id, path) + query, new Blob([text]), () => undefined).done;
			closeDialog();
			toast({ tone: "ok", title: `${entry.name} is saved` });
			saved();
		} catch (error) {
			setProblem(sentence(error));
		} finally {
			setBusy(false);
		}
	};
	const text = content?.text;
	return (
		<>
			<div class="stack">
				{problem && <p class="problem" role="alert">{problem}</p>}
				{content === null ? (
					!problem && <Loading what={entry.name} />
				) : text === undefined ? (
					<p class="soft">{bytes(entry.size)} that are not text.</p>
				) : edited !== null ? (
					<textarea class="area mono file-text" aria-label={`Text of ${entry.name}`} spellcheck={false} value={edited} onInput={(e) => setEdited(e.currentTarget.value)} />
				) : (
					<pre class="file-text" tabIndex={0} aria-label={`Text of ${entry.name}`}>{text || <span class="dim">It is empty.</span>}</pre>
				)}
				{text !== undefined && !content?.whole && <p class="dim">The first {bytes(LOOK_MAX)} of {bytes(entry.size)}.</p>}
			</div>
			<footer>
				{edited === null ? (
					<>
						<Button icon="download" label="Download" onClick={() => void save(filePath(vm.id, path), entry.name).catch((e: unknown) => setProblem(sentence(e)))} />
						{can("file_put") && text !== undefined && content?.whole && <Button label="Edit" onClick={() => setEdited(text)} />}
						<Button kind="primary" label="Close" onClick={closeDialog} />
					</>
				) : (
					<>
						<Button label="Do not save" onClick={() => setEdited(null)} />
						<Button kind="primary" label="Save" busy={busy} disabled={edited === text} onClick={() => void store(edited)} />
					</>
				)}
			</footer>
		</>
	);
}

export function NewFolder({ vm, at, done }: { vm: Vm; at: string[]; done: () => void }) {
	const [name, setName] = useState("");
	const [problem, setProblem] = useState("");
	const wrong = /\//.test(name) ? "A name has no slash." : name === "." || name === ".." ? "Choose another name." : "";
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				if (!name || wrong) return;
				upload(`${filePath(vm.id, [...at, name])}?tar=true`, new Blob([EMPTY_TAR]), () => undefined)
					.done.then(() => {
						closeDialog();
						done();
					})
					.catch((error: unknown) => setProblem(sentence(error)));
			}}
		>
			<div class="field">
				<label class="name" for="folder-name">Name</label>
				<input id="folder-name" class="input mono" data-autofocus value={name} spellcheck={false} autocomplete="off" aria-invalid={Boolean(wrong || problem)}
					onInput={(e) => { setProblem(""); setName(e.currentTarget.value); }} />
				{(wrong || problem) && <span class="wrong" role="alert">{wrong || problem}</span>}
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Make it" disabled={!name || Boolean(wrong)} />
			</footer>
		</form>
	);
}
