// SPDX-License-Identifier: Apache-2.0
/* A button that opens a list: arrows move, Escape closes, letters jump. It lives in the browser's top layer. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, type ButtonKind } from "./basics";
import { Icon, type IconName } from "./icon";

export interface MenuItem {
	label: string;
	icon?: IconName | undefined;
	danger?: boolean | undefined;
	disabled?: boolean | undefined;
	/** Why it is disabled, or what it does. */
	hint?: string | undefined;
	checked?: boolean | undefined;
	/** Stays open: for ticks. */
	sticky?: boolean;
	href?: string | undefined;
	run?: (() => void) | undefined;
}

export type MenuEntry = MenuItem | "line" | { heading: string };

export function Menu({ items, title, icon = "more", label, kind = "quiet", align = "end" }: {
	items: () => MenuEntry[]; title: string; icon?: IconName; label?: string; kind?: ButtonKind; align?: "start" | "end";
}) {
	const [open, setOpen] = useState(false);
	const anchor = useRef<HTMLSpanElement>(null);
	return (
		<span ref={anchor} class="menu-anchor">
			<Button
				kind={kind}
				icon={icon}
				label={label}
				title={title}
				aria-haspopup="menu"
				aria-expanded={open}
				onClick={(event) => {
					event.stopPropagation();
					setOpen(!open);
				}}
			/>
			{open && (
				<Popup
					anchor={anchor.current as HTMLElement}
					align={align}
					label={title}
					onClose={(refocus) => {
						setOpen(false);
						if (refocus) anchor.current?.querySelector("button")?.focus();
					}}
					items={items()}
				/>
			)}
		</span>
	);
}

function Popup({ anchor, items, align, label, onClose }: {
	anchor: HTMLElement; items: MenuEntry[]; align: "start" | "end"; label: string; onClose: (refocus: boolean) => void;
}) {
	const ref = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		const box = ref.current;
		if (!box) return;
		box.showPopover();
		const from = anchor.getBoundingClientRect();
		const size = box.getBoundingClientRect();
		const below = innerHeight - from.bottom > size.height + 8 || from.top < size.height + 8;
		box.style.top = `${Math.max(8, below ? Math.min(from.bottom + 4, innerHeight - size.height - 8) : from.top - size.height - 4)}px`;
		const left = align === "end" ? from.right - size.width : from.left;
		box.style.left = `${Math.max(8, Math.min(left, innerWidth - size.width - 8))}px`;
		box.querySelector<HTMLElement>("[role^=menuitem]:not([aria-disabled=true])")?.focus();
	}, []);
	useEffect(() => {
		const away = (event: Event): void => {
			const target = event.target as Node;
			if (!ref.current?.contains(target) && !anchor.contains(target)) onClose(false);
		};
		const scrolled = (event: Event): void => {
			if (!ref.current?.contains(event.target as Node)) onClose(false);
		};
		addEventListener("pointerdown", away, true);
		addEventListener("scroll", scrolled, true);
		addEventListener("resize", away);
		return () => {
			removeEventListener("pointerdown", away, true);
			removeEventListener("scroll", scrolled, true);
			removeEventListener("resize", away);
		};
	}, []);
	const onKey = (event: KeyboardEvent): void => {
		const list = [...(ref.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];
		const at = list.indexOf(document.activeElement as HTMLElement);
		const move = (to: number): void => {
			list[(to + list.length) % list.length]?.focus();
			event.preventDefault();
		};
		if (event.key === "ArrowDown") move(at + 1);
		else if (event.key === "ArrowUp") move(at - 1);
		else if (event.key === "Home") move(0);
		else if (event.key === "End") move(list.length - 1);
		else if (event.key === "Escape" || event.key === "Tab") {
			event.preventDefault();
			onClose(true);
		} else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
			const found = [...list.slice(at + 1), ...list.slice(0, at + 1)].find((el) =>
				el.textContent?.trim().toLowerCase().startsWith(event.key.toLowerCase()),
			);
			found?.focus();
		}
		event.stopPropagation();
	};
	return (
		<div
			ref={ref}
			class="popup"
			popover="manual"
			role="menu"
			aria-label={label}
			onKeyDown={onKey}
			onClick={(e) => e.stopPropagation()}
		>
			{items.map((item, i) =>
				item === "line" ? (
					<div key={i} class="line" role="separator" />
				) : "heading" in item ? (
					<div key={i} class="heading" role="presentation">
						{item.heading}
					</div>
				) : (
					<Entry key={i} item={item} onClose={onClose} />
				),
			)}
		</div>
	);
}

function Entry({ item, onClose }: { item: MenuItem; onClose: (refocus: boolean) => void }) {
	const inside: ComponentChildren = (
		<>
			<span class="mark">{item.checked ? <Icon name="check" /> : item.icon && <Icon name={item.icon} />}</span>
			<span class="grow">{item.label}</span>
			{item.hint && <span class="hint">{item.hint}</span>}
		</>
	);
	const cls = `item${item.danger ? " danger" : ""}`;
	if (item.href && !item.disabled) {
		return (
			<a role="menuitem" tabIndex={-1} class={cls} href={item.href} onClick={() => onClose(false)}>
				{inside}
			</a>
		);
	}
	return (
		<button
			type="button"
			role={item.checked === undefined ? "menuitem" : "menuitemcheckbox"}
			aria-checked={item.checked}
			aria-disabled={item.disabled || undefined}
			tabIndex={-1}
			class={cls}
			onClick={() => {
				if (item.disabled) return;
				if (!item.sticky) onClose(true);
				item.run?.();
			}}
		>
			{inside}
		</button>
	);
}
