// SPDX-License-Identifier: Apache-2.0
/* Ctrl-K: every page, every VM and what can be done to it, found by a few letters. */
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { can } from "../api/capabilities";
import { fits, offered, perform } from "../actions/actions";
import { go, route } from "../lib/router";
import { vmList, findVm } from "../store/live";
import { utc } from "../store/clock";
import { Icon, type IconName } from "../ui/icon";
import { Kbd } from "../ui/basics";
import { nextTheme, placesOffered } from "./nav";
import { showKeys } from "./help";
import { dockOpen } from "./dock";

interface Entry {
	label: string;
	hint: string;
	icon: IconName;
	run: () => void;
}

const open = signal(false);
export function showPalette(): void {
	open.value = true;
}

const SHOWN = 50;

/** How well `text` fits: letters in order, better when together and at the start of words. -1: not at all. */
export function score(text: string, wanted: string): number {
	const hay = text.toLowerCase();
	const direct = hay.indexOf(wanted);
	if (direct === 0) return 1000 - hay.length;
	if (direct > 0) return (/[^a-z0-9]/.test(hay[direct - 1] ?? "") ? 700 : 500) - hay.length;
	let at = -1;
	let points = 100;
	for (const c of wanted) {
		if (c === " ") continue;
		const found = hay.indexOf(c, at + 1);
		if (found < 0) return -1;
		points -= found - at - 1;
		at = found;
	}
	return points;
}

function entries(): Entry[] {
	const here = route.peek().parts[0] === "vms" ? findVm(route.peek().parts[1] ?? "") : undefined;
	const list: Entry[] = [];
	const act = (vm: NonNullable<typeof here>): void => {
		for (const action of offered()) {
			if (fits(action, vm)) {
				list.push({ label: `${action.label} ${vm.name}`, hint: "action", icon: action.icon, run: () => void perform(action, [vm]) });
			}
		}
	};
	if (here) act(here);
	if (can("vm_create")) list.push({ label: "New VM", hint: "c", icon: "plus", run: () => go(["create"]) });
	for (const place of placesOffered()) {
		list.push({ label: place.label, hint: `g ${place.key}`, icon: place.icon, run: () => go([place.path]) });
	}
	for (const vm of vmList.peek()) {
		list.push({ label: vm.name, hint: `${vm.state} · ${vm.image}`, icon: "vms", run: () => go(["vms", vm.name]) });
	}
	list.push(
		{ label: "Task log", hint: "o", icon: "tasks", run: () => (dockOpen.value = !dockOpen.value) },
		{ label: "Change theme", hint: "", icon: "auto", run: nextTheme },
		{ label: utc.peek() ? "Show local times" : "Show times in UTC", hint: "", icon: "clock", run: () => (utc.value = !utc.value) },
		{ label: "Keyboard shortcuts", hint: "?", icon: "keyboard", run: showKeys },
	);
	for (const vm of vmList.peek()) if (vm !== here) act(vm);
	return list;
}

export function Palette() {
	return open.value ? <Open /> : null;
}

function Open() {
	const dialog = useRef<HTMLDialogElement>(null);
	const [text, setText] = useState("");
	const [at, setAt] = useState(0);
	const all = useRef(entries());
	const wanted = text.trim().toLowerCase();
	const found = wanted
		? all.current
				.map((entry) => ({ entry, points: score(entry.label, wanted) }))
				.filter(({ points }) => points >= 0)
				.sort((a, b) => b.points - a.points)
				.map(({ entry }) => entry)
		: all.current;
	const list = found.slice(0, SHOWN);
	const close = (): void => {
		open.value = false;
	};
	const run = (entry: Entry | undefined): void => {
		if (!entry) return;
		close();
		entry.run();
	};
	useLayoutEffect(() => {
		const element = dialog.current;
		const before = document.activeElement as HTMLElement | null;
		element?.showModal();
		return () => {
			element?.close();
			before?.focus();
		};
	}, []);
	useEffect(() => {
		dialog.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
	}, [at, text]);
	return (
		<dialog
			ref={dialog}
			class="dialog palette"
			aria-label="Go to or do"
			onCancel={(event) => {
				event.preventDefault();
				close();
			}}
			onPointerDown={(event) => event.target === dialog.current && close()}
			onKeyDown={(event) => {
				if (event.key === "ArrowDown") setAt(Math.min(at + 1, list.length - 1));
				else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
				else if (event.key === "Enter") run(list[at]);
				else return;
				event.preventDefault();
			}}
		>
			<div class="palette-input">
				<Icon name="search" />
				<input
					role="combobox"
					aria-expanded="true"
					aria-controls="palette-list"
					aria-activedescendant={list[at] ? `palette-${at}` : undefined}
					aria-label="Go to or do"
					placeholder="Go to a VM or a page, or do something…"
					autocomplete="off"
					spellcheck={false}
					value={text}
					onInput={(event) => {
						setText(event.currentTarget.value);
						setAt(0);
					}}
				/>
				<Kbd keys={["Esc"]} />
			</div>
			<div class="palette-list" id="palette-list" role="listbox" aria-label="Matches">
				{list.map((entry, i) => (
					<div
						key={`${entry.label}${entry.hint}`}
						id={`palette-${i}`}
						role="option"
						aria-selected={i === at}
						onPointerMove={() => setAt(i)}
						onClick={() => run(entry)}
					>
						<Icon name={entry.icon} />
						<span class="clip">{entry.label}</span>
						<span class="hint">{entry.hint}</span>
					</div>
				))}
				{list.length === 0 && <p class="soft nothing">Nothing matches “{text}”.</p>}
			</div>
		</dialog>
	);
}
