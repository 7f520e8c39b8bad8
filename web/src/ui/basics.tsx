// SPDX-License-Identifier: Apache-2.0
/* Buttons, meters, chips, cards and the other small pieces every page is made of. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon";
import { percent } from "../lib/format";
import { toast } from "./toast";

export type ButtonKind = "normal" | "primary" | "quiet" | "danger";

export interface ButtonProps extends Omit<JSX.HTMLAttributes<HTMLButtonElement>, "icon" | "label"> {
	icon?: IconName;
	kind?: ButtonKind;
	/** Shown beside the icon; without it `title` names the button. */
	label?: string | undefined;
	busy?: boolean;
	disabled?: boolean;
	title?: string;
	type?: "button" | "submit";
}

export function Button({ icon, kind = "normal", label, busy, disabled, title, children, ...rest }: ButtonProps) {
	const bare = !label && !children;
	return (
		<button
			type="button"
			{...rest}
			class={`button ${kind}${bare ? " bare" : ""}${rest.class ? ` ${String(rest.class)}` : ""}`}
			disabled={disabled || busy}
			title={title}
			aria-label={bare ? title : rest["aria-label"]}
			aria-busy={busy || undefined}
		>
			{busy ? <span class="spinner" /> : icon && <Icon name={icon} />}
			{label && <span>{label}</span>}
			{children}
		</button>
	);
}

export function LinkButton({ icon, label, href, kind = "normal", title }: {
	icon?: IconName; label?: string; href: string; kind?: ButtonKind; title?: string;
}) {
	return (
		<a class={`button ${kind}${label ? "" : " bare"}`} href={href} title={title} aria-label={label ? undefined : title}>
			{icon && <Icon name={icon} />}
			{label && <span>{label}</span>}
		</a>
	);
}

export function Kbd({ keys }: { keys: string[] }) {
	return (
		<span class="kbds">
			{keys.map((key) => (
				<kbd key={key}>{key}</kbd>
			))}
		</span>
	);
}

/** A share of something: 0 to 100. The words say the same as the bar. */
/** `calm`: being full is nothing to worry about. */
export function Meter({ value, of, text, label, title, wide, calm }: {
	value: number; of: number; text: string; label: string; title?: string; wide?: boolean; calm?: boolean;
}) {
	const share = percent(value, of);
	const tone = calm ? "" : share >= 92 ? "bad" : share >= 78 ? "warn" : "";
	return (
		<span
			class={`meter ${tone}${wide ? " wide" : ""}`}
			title={title}
			role="meter"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={Math.round(share)}
			aria-valuetext={text}
		>
			<span class="track">
				<span class="bar" style={{ width: `${share}%` }} />
			</span>
			<span class="num value">{text}</span>
		</span>
	);
}

export function Progress({ value, label }: { value?: number | undefined; label: string }) {
	return (
		<span
			class={`progress${value === undefined ? " endless" : ""}`}
			role="progressbar"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={value === undefined ? undefined : Math.round(value)}
		>
			<span style={value === undefined ? {} : { width: `${value}%` }} />
		</span>
	);
}

export function Label({ name, value, onClick }: { name: string; value: string; onClick?: (() => void) | undefined }) {
	const text = (
		<>
			<span class="dim">{name}</span>
			{value && <span>{value}</span>}
		</>
	);
	return onClick ? (
		<button type="button" class="label" onClick={onClick} title={`Show only label ${name}=${value}`}>
			{text}
		</button>
	) : (
		<span class="label">{text}</span>
	);
}

export async function copyText(text: string, what: string): Promise<void> {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		/* no permission, or not a secure context: the old way */
		const area = document.createElement("textarea");
		area.value = text;
		area.className = "sr";
		(document.querySelector("dialog[open]") ?? document.body).append(area);
		area.select();
		document.execCommand("copy");
		area.remove();
	}
	toast({ tone: "ok", title: `${what} copied` });
}

export function Copy({ text, what }: { text: string; what: string }) {
	return <Button kind="quiet" class="copy" icon="copy" title={`Copy ${what}`} onClick={() => void copyText(text, what)} />;
}

/** A command to take away. A long one breaks between its words, not at the hyphens of an option. */
export function Command({ text, what = "command" }: { text: string; what?: string }) {
	return (
		<div class="command">
			<pre tabIndex={0} aria-label={what}>
				<code>{text.split(/(\s+)/).map((part, i) => (i % 2 ? part : <span key={i} class="w">{part}</span>))}</code>
			</pre>
			<Copy text={text} what={what} />
		</div>
	);
}

export function Card({ title, actions, children, flush, id }: {
	title?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; flush?: boolean; id?: string;
}) {
	return (
		<section class={`card${flush ? " flush" : ""}`} id={id}>
			{title && (
				<header>
					<h2>{title}</h2>
					{actions && <div class="row">{actions}</div>}
				</header>
			)}
			<div class="body">{children}</div>
		</section>
	);
}

/** `page`: it stands for a whole page, so its title is the page's. */
export function Empty({ icon, title, children, action, page }: {
	page?: boolean; icon: IconName; title: string; children?: ComponentChildren; action?: ComponentChildren;
}) {
	return (
		<div class="empty">
			<span class="disc">
				<Icon name={icon} size={24} />
			</span>
			{page ? <h1 class="as-h2">{title}</h1> : <h2>{title}</h2>}
			{children && <div class="soft about">{children}</div>}
			{action && <div class="row wrap center">{action}</div>}
		</div>
	);
}

/** Nothing for 200 ms, then a word with the spinner: short waits do not flicker. */
export function Loading({ what }: { what: string }) {
	const [late, setLate] = useState(false);
	useEffect(() => {
		const timer = window.setTimeout(() => setLate(true), 200);
		return () => window.clearTimeout(timer);
	}, []);
	return (
		<div class="loading" role="status">
			{late && (
				<>
					<span class="spinner" /> Loading {what}…
				</>
			)}
		</div>
	);
}

export function Details({ rows }: { rows: [string, ComponentChildren][] }) {
	return (
		<dl class="details">
			{rows.map(([name, value]) => (
				<div key={name}>
					<dt>{name}</dt>
					<dd>{value}</dd>
				</div>
			))}
		</dl>
	);
}

export function Check({ checked, mixed, onChange, label, title }: {
	checked: boolean; mixed?: boolean; onChange: (event: MouseEvent) => void; label: string; title?: string;
}) {
	const ref = useRef<HTMLInputElement>(null);
	useEffect(() => {
		if (ref.current) ref.current.indeterminate = Boolean(mixed);
	}, [mixed]);
	return (
		<input ref={ref} type="checkbox" class="check" checked={checked} onClick={onChange} aria-label={label} title={title} />
	);
}

export function Switch({ checked, onChange, label, disabled }: {
	checked: boolean; onChange: (on: boolean) => void; label: string; disabled?: boolean;
}) {
	return (
		<button
			type="button"
			role="switch"
			class="switch"
			aria-checked={checked}
			disabled={disabled}
			onClick={() => onChange(!checked)}
		>
			<span class="knob" />
			<span>{label}</span>
		</button>
	);
}
