// SPDX-License-Identifier: Apache-2.0
/* The head of the list: sorts, and lets columns be moved and made wider by pointer or keyboard. */
import { useRef, useState } from "preact/hooks";
import { setQuery } from "../../lib/router";
import { COLUMNS, moved, resized, type Column } from "./columns";

const STEP_PX = 16;

interface Heading {
	column: Column;
	sort: string;
	texts: string[];
	choose: (texts: string[]) => void;
}

export function Heads({ columns, ...rest }: { columns: Column[] } & Omit<Heading, "column">) {
	const [dragged, setDragged] = useState("");
	const [over, setOver] = useState("");
	const place = (id: string): number => rest.texts.findIndex((t) => t.split("~")[0] === id);
	return (
		<>
			{columns.map((column) => (
				<span
					key={column.id}
					role="columnheader"
					class={`head-cell${column.right ? " right" : ""}${over === column.id && dragged !== column.id ? " drop" : ""}`}
					aria-sort={!column.key ? undefined : rest.sort.replace(/^-/, "") !== column.id ? "none" : rest.sort.startsWith("-") ? "descending" : "ascending"}
					draggable
					onDragStart={(event) => {
						event.dataTransfer?.setData("text/plain", column.label);
						setDragged(column.id);
					}}
					onDragOver={(event) => {
						if (!dragged) return;
						event.preventDefault();
						setOver(column.id);
					}}
					onDragEnd={() => {
						setDragged("");
						setOver("");
					}}
					onDrop={(event) => {
						event.preventDefault();
						if (dragged && dragged !== column.id) rest.choose(moved(rest.texts, dragged, place(column.id)));
					}}
				>
					<Head column={column} {...rest} />
				</span>
			))}
		</>
	);
}

function Head({ column, sort, texts, choose }: Heading) {
	const on = sort.replace(/^-/, "") === column.id;
	const back = sort.startsWith("-");
	const button = useRef<HTMLButtonElement>(null);
	const width = (): number => button.current?.parentElement?.getBoundingClientRect().width ?? 100;
	const onKey = (event: KeyboardEvent): void => {
		const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
		if (!by || !event.altKey) return;
		event.preventDefault();
		event.stopPropagation();
		if (event.shiftKey) choose(resized(texts, column.id, width() + by * STEP_PX));
		else choose(moved(texts, column.id, texts.findIndex((t) => t.split("~")[0] === column.id) + by));
	};
	return (
		<>
			<button
				ref={button}
				type="button"
				class={`sorter${on ? (back ? " on back" : " on") : ""}${column.key ? "" : " plain"}`}
				title={`${column.key ? `Sort by ${column.label.toLowerCase()}. ` : ""}Drag to move; Alt ← → moves, Alt Shift ← → changes the width`}
				onKeyDown={onKey}
				onClick={() => column.key && setQuery({ sort: on && !back ? `-${column.id}` : column.id === COLUMNS[0]?.id ? "" : column.id })}
			>
				{column.label}
			</button>
			<Grip column={column} texts={texts} choose={choose} width={width} />
		</>
	);
}

/** The edge that makes a column wider; twice gives it its own width again. */
function Grip({ column, texts, choose, width }: Omit<Heading, "sort"> & { width: () => number }) {
	const from = useRef<{ x: number; width: number } | null>(null);
	return (
		<span
			class="grip"
			aria-hidden="true"
			draggable
			onDragStart={(event) => {
				event.preventDefault();
				event.stopPropagation();
			}}
			onPointerDown={(event) => {
				event.currentTarget.setPointerCapture(event.pointerId);
				from.current = { x: event.clientX, width: width() };
			}}
			onPointerMove={(event) => from.current && choose(resized(texts, column.id, from.current.width + event.clientX - from.current.x))}
			onPointerUp={() => (from.current = null)}
			onDblClick={() => choose(resized(texts, column.id, 0))}
		/>
	);
}
