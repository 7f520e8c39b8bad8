// SPDX-License-Identifier: Apache-2.0
/* Terminals of one VM, in tabs. Sessions live in the guest: whoever opens this page finds those that run. */
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { call } from "../../../api/client";
import type { Vm } from "../../../api/types";
import { schemaOf } from "../../../api/capabilities";
import { problemOf } from "../../../api/validate";
import { Button, copyText } from "../../../ui/basics";
import { closeDialog, showDialog } from "../../../ui/dialog";
import { Menu } from "../../../ui/menu";
import { Shape } from "../../../ui/state";
import { FONT_MAX, FONT_MIN, Session, fontSize, type Link } from "./session";
import "@xterm/xterm/css/xterm.css";
import "./terminal.css";

const all = signal<ReadonlyMap<string, Session[]>>(new Map());
const chosen = signal<ReadonlyMap<string, number>>(new Map());

const of = (vm: Vm): Session[] => all.value.get(vm.id) ?? [];

function choose(vm: Vm, session: Session | undefined): void {
	chosen.value = new Map(chosen.peek()).set(vm.id, session?.key ?? 0);
}

function keep(vm: Vm, list: Session[]): void {
	all.value = new Map(all.peek()).set(vm.id, list);
}

function open(vm: Vm, id = "", written = 0, user = ""): Session {
	const session = new Session(vm.id, id, written, user);
	keep(vm, [...(all.peek().get(vm.id) ?? []), session]);
	return session;
}

function close(vm: Vm, session: Session): void {
	const list = all.peek().get(vm.id) ?? [];
	const at = list.indexOf(session);
	const rest = list.filter((s) => s !== session);
	session.close();
	keep(vm, rest);
	if (chosen.peek().get(vm.id) === session.key) choose(vm, rest[Math.min(at, rest.length - 1)]);
}

/** Takes up the sessions that run in the guest already; a new one where there is none. */
async function takeUp(vm: Vm): Promise<void> {
	const { items } = await call("get", "/vms/{vm}/execs", { params: { vm: vm.id } });
	const known = new Set((all.peek().get(vm.id) ?? []).map((s) => s.id));
	for (const exec of [...items].reverse()) {
		if (exec.tty && exec.temporary && exec.state === "running" && !known.has(exec.id)) open(vm, exec.id, exec.output_bytes);
	}
	const list = all.peek().get(vm.id) ?? [];
	const live = list.filter((s) => s.link.peek() !== "ended");
	if (live.length === 0) choose(vm, open(vm));
	else if (!list.some((s) => s.key === chosen.peek().get(vm.id))) choose(vm, live[live.length - 1]);
}

export default function Terminals({ vm }: { vm: Vm }) {
	const [finding, setFinding] = useState(false);
	const frame = useRef<HTMLDivElement>(null);
	const list = of(vm);
	const current = list.find((s) => s.key === chosen.value.get(vm.id)) ?? list[0];
	useEffect(() => {
		takeUp(vm).catch(() => {
			if (of(vm).length === 0) choose(vm, open(vm));
		});
	}, [vm.id]);
	const save = (): void => {
		if (!current) return;
		const link = document.createElement("a");
		link.href = URL.createObjectURL(new Blob([current.text()], { type: "text/plain" }));
		link.download = `${vm.name}-terminal.txt`;
		link.click();
		URL.revokeObjectURL(link.href);
	};
	return (
		<section
			ref={frame}
			class="term"
			aria-label={`Terminals of ${vm.name}`}
			onKeyDown={(event) => {
				if (event.key === "F6") {
					event.preventDefault();
					frame.current?.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]')?.focus();
				} else if (event.ctrlKey && event.shiftKey && event.code === "KeyF") {
					event.preventDefault();
					setFinding(true);
				}
			}}
		>
			<div class="term-bar">
				<div class="term-tabs" role="tablist" aria-label="Terminals" onKeyDown={(event) => {
					const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
					const to = by && current ? list[(list.indexOf(current) + by + list.length) % list.length] : undefined;
					if (to) choose(vm, to);
				}}>
					{list.map((session, i) => <Tab key={session.key} vm={vm} session={session} number={i + 1} on={session === current} />)}
				</div>
				{current && <Button kind="quiet" icon="close" title={`Close ${nameOf(current, list.indexOf(current) + 1)}: its shell ends`} onClick={() => close(vm, current)} />}
				<Button kind="quiet" icon="plus" title="New terminal" onClick={() => choose(vm, open(vm))} />
				<span class="grow" />
				<Button kind="quiet" icon="search" title="Find (Ctrl Shift F)" aria-pressed={finding} onClick={() => setFinding(!finding)} />
				<Button kind="quiet" class="letters" label="A−" title="Smaller text" disabled={fontSize.value <= FONT_MIN} onClick={() => (fontSize.value = Math.max(FONT_MIN, fontSize.value - 1))} />
				<Button kind="quiet" class="letters" label="A+" title="Larger text" disabled={fontSize.value >= FONT_MAX} onClick={() => (fontSize.value = Math.min(FONT_MAX, fontSize.value + 1))} />
				<Button kind="quiet" icon="copy" title="Copy what is selected, or all of it" onClick={() => current && void copyText(current.term.getSelection() || current.text(), current.term.hasSelection() ? "Selection" : "Terminal").then(() => current.term.focus())} />
				<Menu title="More of the terminal" items={() => [
					{ label: "Download as text", icon: "download", disabled: !current, run: save },
					{ label: "New terminal as another user…", icon: "user", run: () => showDialog({ title: `Terminal in “${vm.name}”`, body: <AsUser vm={vm} /> }) },
				]} />
				<Button kind="quiet" icon="expand" title="Full screen" onClick={() => void (document.fullscreenElement ? document.exitFullscreen() : frame.current?.requestFullscreen())} />
			</div>
			{finding && current && <Find session={current} close={() => { setFinding(false); current.term.focus(); }} />}
			{current && <Screen key={current.key} session={current} again={() => choose(vm, open(vm))} />}
			<p class="sr" id="term-help">F6 leaves the terminal for its tabs.</p>
		</section>
	);
}

const LOOK: Record<Link, ["disc" | "ring" | "spin" | "triangle", "ok" | "off" | "info" | "warn"]> = {
	connecting: ["spin", "info"], open: ["disc", "ok"], broken: ["triangle", "warn"], ended: ["ring", "off"],
};

const nameOf = (session: Session, number: number): string => session.title.value || `${session.user || "shell"} ${number}`;

function Tab({ vm, session, number, on }: { vm: Vm; session: Session; number: number; on: boolean }) {
	const [shape, tone] = LOOK[session.link.value];
	return (
		<button type="button" role="tab" class="term-tab" aria-selected={on} tabIndex={on ? 0 : -1} aria-controls="term-screen"
			onClick={() => choose(vm, session)} onAuxClick={(e) => e.button === 1 && close(vm, session)}>
			<Shape shape={shape} tone={tone} />
			<span class="clip">{nameOf(session, number)}</span>
			<span class="sr">{session.link.value}</span>
		</button>
	);
}

function Screen({ session, again }: { session: Session; again: () => void }) {
	const box = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		box.current?.append(session.host);
		session.show();
		return () => session.host.remove();
	}, [session]);
	const link = session.link.value;
	return (
		<div class="term-screen" id="term-screen" role="tabpanel" aria-label="Terminal" aria-describedby="term-help">
			<div ref={box} class="term-box" />
			{link === "broken" && <p class="term-note" role="status"><Shape shape="spin" tone="info" /> The connection broke; the shell goes on. It is being taken up again…</p>}
			{link === "connecting" && <p class="term-note" role="status"><Shape shape="spin" tone="info" /> Opening a shell…{session.note.value && ` (${session.note.value})`}</p>}
			{link === "ended" && <p class="term-note" role="status"><span class="grow">The shell has ended: {session.note.value}.</span><Button icon="restart" label="New shell" onClick={again} /></p>}
		</div>
	);
}

function AsUser({ vm }: { vm: Vm }) {
	const [user, setUser] = useState("");
	const schema = schemaOf("Exec")?.properties?.["user"];
	const wrong = user && schema ? problemOf(user, schema) : undefined;
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				closeDialog();
				choose(vm, open(vm, "", 0, user));
			}}
		>
			<div class="stack">
				<div class="field">
					<label class="name" for="terminal-user">User</label>
					<input id="terminal-user" class="input mono" data-autofocus placeholder="root" value={user} spellcheck={false} autocomplete="off" autocapitalize="off"
						aria-invalid={Boolean(wrong)} onInput={(e) => setUser(e.currentTarget.value)} />
					{wrong ? <span class="wrong" role="alert">{wrong}</span> : <span class="help">A name or number that the guest knows. Its login shell is opened in its home.</span>}
				</div>
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Open" disabled={Boolean(wrong)} />
			</footer>
		</form>
	);
}

function Find({ session, close: done }: { session: Session; close: () => void }) {
	const [text, setText] = useState("");
	const look = (wanted: string, back = false): void => void (back ? session.search.findPrevious(wanted) : session.search.findNext(wanted, { incremental: !back }));
	return (
		<div class="term-find" role="search">
			<input class="input" aria-label="Find in the terminal" placeholder="Find" value={text} spellcheck={false}
				ref={(el) => {
					if (el && !text) el.focus();
				}}
				onInput={(e) => {
					setText(e.currentTarget.value);
					look(e.currentTarget.value);
				}}
				onKeyDown={(e) => {
					if (e.key === "Enter") look(text, e.shiftKey);
					else if (e.key === "Escape") done();
					else return;
					e.preventDefault();
				}} />
			<Button kind="quiet" icon="up" title="Earlier (Shift Enter)" onClick={() => look(text, true)} />
			<Button kind="quiet" icon="down" title="Later (Enter)" onClick={() => look(text)} />
			<Button kind="quiet" icon="close" title="Close the search (Esc)" onClick={done} />
		</div>
	);
}
