// SPDX-License-Identifier: Apache-2.0
/* One dialog at a time, on the native element: focus is kept inside, Escape closes, focus returns. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "./basics";

interface Shown {
	title: string;
	body: ComponentChildren;
	wide?: boolean;
	onClose?: (() => void) | undefined;
}

const shown = signal<Shown | null>(null);

export function showDialog(dialog: Shown): void {
	shown.value = dialog;
}

export function closeDialog(): void {
	const was = shown.value;
	shown.value = null;
	was?.onClose?.();
}

export function DialogHost() {
	const dialog = shown.value;
	return dialog && <Dialog key={dialog.title} {...dialog} />;
}

function Dialog({ title, body, wide }: Shown) {
	const ref = useRef<HTMLDialogElement>(null);
	useLayoutEffect(() => {
		const element = ref.current;
		const before = document.activeElement as HTMLElement | null;
		element?.showModal();
		element?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
		return () => {
			element?.close();
			before?.focus();
		};
	}, []);
	return (
		<dialog
			ref={ref}
			class={`dialog${wide ? " wide" : ""}`}
			aria-labelledby="dialog-title"
			onCancel={(event) => {
				event.preventDefault();
				closeDialog();
			}}
			onPointerDown={(event) => event.target === ref.current && closeDialog()}
		>
			<div class="inside">
				<header>
					<h2 id="dialog-title">{title}</h2>
					<Button kind="quiet" icon="close" title="Close" onClick={closeDialog} />
				</header>
				{body}
			</div>
		</dialog>
	);
}

interface Question {
	title: string;
	body: ComponentChildren;
	confirm: string;
	danger?: boolean;
	/** Has to be typed before the button works: for what holds data. */
	typed?: string | undefined;
	extra?: ComponentChildren;
}

/** Asks once; true when confirmed. */
export function ask(question: Question): Promise<boolean> {
	return new Promise((resolve) => {
		let answer = false;
		showDialog({
			title: question.title,
			body: (
				<Ask
					{...question}
					onYes={() => {
						answer = true;
						closeDialog();
					}}
				/>
			),
			onClose: () => resolve(answer),
		});
	});
}

function Ask({ body, confirm, danger, typed, extra, onYes }: Question & { onYes: () => void }) {
	const [text, setText] = useState("");
	const fits = !typed || text === typed;
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				if (fits) onYes();
			}}
		>
			<div class="stack">
				<div class="soft">{body}</div>
				{typed && (
					<label class="field">
						<span class="name">
							Type <code>{typed}</code> to confirm
						</span>
						<input
							class="input"
							data-autofocus
							autocomplete="off"
							spellcheck={false}
							value={text}
							onInput={(e) => setText(e.currentTarget.value)}
						/>
					</label>
				)}
				{extra}
			</div>
			<footer>
				<Button onClick={closeDialog} label="Cancel" {...(danger && !typed ? { "data-autofocus": true } : {})} />
				<Button type="submit" kind={danger ? "danger" : "primary"} label={confirm} disabled={!fits} />
			</footer>
		</form>
	);
}
