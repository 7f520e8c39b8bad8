// SPDX-License-Identifier: Apache-2.0
/*
 * One terminal session: an exec of the guest with a terminal, seen through a WebSocket. The server
 * keeps it when the connection breaks; it is taken up again at the byte where it broke off, so a
 * reload, a restart of the server or a closed laptop lose nothing.
 */
import { signal } from "@preact/signals";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Terminal, type ITheme } from "@xterm/xterm";
import { call, fillPath, token } from "../../../api/client";
import { can } from "../../../api/capabilities";
import { sentence } from "../../../actions/actions";
import { remembered } from "../../../lib/storage";
import { strictDocument, strictly } from "./strict";

export type Link = "connecting" | "open" | "broken" | "ended";

const SCROLLBACK = 10_000;
const RESIZE_MS = 80;
const BACKOFF_MS = [250, 500, 1000, 2000, 4000];
export const fontSize = remembered("terminal-font", 13);
export const FONT_MIN = 9;
export const FONT_MAX = 28;

const THEME: ITheme = {
	background: "#0d1015", foreground: "#d9dde5", cursor: "#a5adff", cursorAccent: "#0d1015", selectionBackground: "#3d4363",
	black: "#1b2029", red: "#ff7b86", green: "#5fd39a", yellow: "#eebf5f", blue: "#79b4ff", magenta: "#c9a4ff", cyan: "#5fd0dc", white: "#d9dde5",
	brightBlack: "#7d8695", brightRed: "#ff9aa3", brightGreen: "#84e5b4", brightYellow: "#f6d486", brightBlue: "#a1cbff", brightMagenta: "#dcc4ff", brightCyan: "#8be2ea", brightWhite: "#ffffff",
};

interface Notice {
	type: string;
	id?: string;
	offset?: number;
	from?: number;
	to?: number;
	exit_code?: number | null;
	signal?: number | null;
	problem?: { detail?: string };
}

let next = 1;

export class Session {
	readonly key = next++;
	readonly link = signal<Link>("connecting");
	/** Why it broke or how it ended. */
	readonly note = signal("");
	/** What the program in it calls its window. */
	readonly title = signal("");
	readonly host = document.createElement("div");
	readonly term: Terminal;
	readonly search = new SearchAddon();
	private readonly fit = new FitAddon();
	private readonly watch: ResizeObserver;
	private socket: WebSocket | null = null;
	private seen = 0;
	private tries = 0;
	private timer = 0;
	private sizeTimer = 0;
	private opened = false;
	private closed = false;
	/** Output up to here was written before we came: what xterm would answer to it was answered then. */
	private replayUntil = 0;
	private parsed = 0;

	constructor(readonly vm: string, public id = "", written = 0, readonly user = "") {
		this.replayUntil = written;
		this.host.className = "term-host";
		this.term = new Terminal({
			documentOverride: strictDocument, allowProposedApi: true, scrollback: SCROLLBACK, fontSize: fontSize.peek(), cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
			fontFamily: "ui-monospace, 'SF Mono', 'JetBrains Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace", theme: THEME, minimumContrastRatio: 4.5,
		});
		this.term.loadAddon(this.fit);
		this.term.loadAddon(this.search);
		this.term.onTitleChange((title) => (this.title.value = title.slice(0, 60)));
		this.term.onData((text) => this.send(new TextEncoder().encode(text)));
		this.term.onBinary((text) => this.send(Uint8Array.from(text, (c) => c.charCodeAt(0))));
		this.term.onResize(({ rows, cols }) => this.tell({ type: "resize", rows, cols }));
		this.term.attachCustomKeyEventHandler((event) => this.onKey(event));
		this.watch = new ResizeObserver(() => this.resize());
		this.watch.observe(this.host);
		fontSize.subscribe((size) => {
			this.term.options.fontSize = size;
			this.resize();
		});
	}

	/** Once its host stands in the page. */
	show(): void {
		if (!this.opened) {
			this.opened = true;
			strictly(() => this.term.open(this.host));
			this.fit.fit();
			void this.connect();
		}
		this.resize();
		this.term.focus();
	}

	private resize(): void {
		window.clearTimeout(this.sizeTimer);
		this.sizeTimer = window.setTimeout(() => {
			if (this.opened && this.host.isConnected && this.host.clientWidth > 40) this.fit.fit();
		}, RESIZE_MS);
	}

	private onKey(event: KeyboardEvent): boolean {
		if (event.type !== "keydown") return true;
		if (event.ctrlKey && event.shiftKey && event.code === "KeyC" && this.term.hasSelection()) {
			event.preventDefault();
			void navigator.clipboard?.writeText(this.term.getSelection());
			return false;
		}
		/* the way out for people without a mouse, and what the browser and the page keep for themselves */
		return !(event.key === "F6" || (event.ctrlKey && event.shiftKey && ["KeyF", "KeyV"].includes(event.code)));
	}

	private send(bytes: Uint8Array): void {
		if (this.parsed < this.replayUntil) return;
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(bytes as Uint8Array<ArrayBuffer>);
	}

	private tell(message: object): void {
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
	}

	private async connect(): Promise<void> {
		window.clearTimeout(this.timer);
		if (this.closed || this.link.peek() === "ended") return;
		const path = fillPath("/vms/{vm}/terminal", { vm: this.vm });
		const query = new URLSearchParams({ rows: String(this.term.rows), cols: String(this.term.cols) });
		if (this.id) query.set("session", this.id);
		if (this.id && this.seen) query.set("from", String(this.seen));
		if (!this.id && this.user) query.set("user", this.user);
		try {
			/* a WebSocket of a browser carries the cookie by itself, but no token */
			if (token.peek() && can("ticket_create")) query.set("ticket", (await call("post", "/tickets", { body: { path } })).ticket);
		} catch (error) {
			this.broke(sentence(error));
			return;
		}
		const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}?${query.toString()}`);
		socket.binaryType = "arraybuffer";
		this.socket = socket;
		socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
			if (socket !== this.socket) return;
			if (typeof event.data === "string") this.take(event.data);
			else this.write(new Uint8Array(event.data));
		};
		socket.onclose = (event) => {
			if (socket === this.socket && this.link.peek() !== "ended") this.broke(event.reason);
		};
	}

	private write(bytes: Uint8Array): void {
		this.seen += bytes.length;
		this.term.write(bytes, () => (this.parsed += bytes.length));
	}

	private take(text: string): void {
		let notice: Notice;
		try {
			notice = JSON.parse(text) as Notice;
		} catch {
			return;
		}
		if (notice.type === "session") {
			this.id = notice.id ?? this.id;
			this.seen = notice.offset ?? 0;
			this.parsed = this.seen;
			this.tries = 0;
			this.link.value = "open";
			this.note.value = "";
		} else if (notice.type === "skipped") {
			this.seen = notice.to ?? this.seen;
			this.parsed = Math.max(this.parsed, this.seen);
			this.term.write("\r\n\x1b[2m… earlier output is not kept …\x1b[0m\r\n");
		} else if (notice.type === "exit") {
			this.end(notice.signal ? `ended by signal ${notice.signal}` : `ended with exit code ${notice.exit_code ?? "?"}`);
		} else if (notice.type === "error") {
			this.end(notice.problem?.detail ?? "the session was lost");
		}
	}

	private end(why: string): void {
		this.note.value = why;
		this.link.value = "ended";
		this.term.options.cursorBlink = false;
		this.term.options.disableStdin = true;
		this.socket?.close();
	}

	private broke(why: string): void {
		this.socket = null;
		if (this.closed) return;
		/* a shell that was refused at first is not asked for again and again */
		if (!this.id && this.tries >= BACKOFF_MS.length) {
			this.end(why || "the server opens no terminal");
			return;
		}
		this.link.value = this.id ? "broken" : "connecting";
		this.note.value = why;
		const pause = BACKOFF_MS[Math.min(this.tries++, BACKOFF_MS.length - 1)] ?? 4000;
		this.timer = window.setTimeout(() => void (this.id ? this.check() : this.connect()), pause);
	}

	/** Whether the session is still there: a WebSocket does not say why it was refused. */
	private async check(): Promise<void> {
		try {
			const exec = await call("get", "/vms/{vm}/execs/{exec}", { params: { vm: this.vm, exec: this.id } });
			if (exec.state === "lost" || exec.state === "failed") this.end(exec.reason ?? "the VM was ended");
			else await this.connect();
		} catch (error) {
			if (error instanceof Error && "status" in error && error.status === 404) this.end("the session was closed");
			else this.broke(sentence(error));
		}
	}

	/** Ends the shell in the guest. */
	close(): void {
		this.tell({ type: "close" });
		this.closed = true;
		window.clearTimeout(this.timer);
		this.watch.disconnect();
		this.socket?.close();
		this.term.dispose();
		this.host.remove();
	}

	/** Everything that it still remembers, as text. */
	text(): string {
		const buffer = this.term.buffer.active;
		return Array.from({ length: buffer.length }, (_, i) => buffer.getLine(i)?.translateToString(true) ?? "").join("\n").trimEnd() + "\n";
	}
}
