// SPDX-License-Identifier: Apache-2.0
/* The frame that never moves: pages on the left, the page, the task log below. */
import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { can, documentLoaded, needDocument } from "../api/capabilities";
import { signedOut } from "../api/client";
import { duration } from "../lib/format";
import { useKeys } from "../lib/keys";
import { go, href, route } from "../lib/router";
import { backAgain, connection, lostAt, opened } from "../store/live";
import { now } from "../store/clock";
import { Button, Empty, LinkButton, Loading } from "../ui/basics";
import { DialogHost, closeDialog } from "../ui/dialog";
import { Shape } from "../ui/state";
import { Toasts } from "../ui/toast";
import VmsPage from "../pages/vms";
import { Dock, dockOpen } from "./dock";
import { Gate } from "./gate";
import { showKeys } from "./help";
import { Nav, PLACES, nextTheme } from "./nav";
import { Palette, showPalette } from "./palette";

type Page = ComponentType<{ parts: string[] }>;
type Loader = () => Promise<{ default: Page }>;

const LAZY: Record<string, Loader> = {
	vm: () => import("../pages/vm"),
	create: () => import("../pages/create"),
	runs: () => import("../pages/runs"),
	snapshots: () => import("../pages/snapshots"),
	images: () => import("../pages/images"),
	host: () => import("../pages/host"),
	events: () => import("../pages/events"),
	tokens: () => import("../pages/tokens"),
};

const loaded = new Map<string, Page>();

function Lazy({ name, parts }: { name: string; parts: string[] }) {
	const [, redraw] = useState(0);
	const [failed, setFailed] = useState(false);
	const page = loaded.get(name);
	useEffect(() => {
		let gone = false;
		setFailed(false);
		needDocument();
		if (!loaded.has(name)) {
			LAZY[name]?.()
				.then((module) => {
					loaded.set(name, module.default);
					if (!gone) redraw((n) => n + 1);
				})
				.catch(() => !gone && setFailed(true));
		}
		return () => {
			gone = true;
		};
	}, [name]);
	if (failed) {
		return (
			<Empty page icon="warn" title="This page could not be loaded" action={<Button label="Load again" onClick={() => location.reload()} />}>
				<p>The server is away, or it now serves another version of the dashboard.</p>
			</Empty>
		);
	}
	if (!documentLoaded() && connection.value === "offline") return null;
	if (!page || !documentLoaded()) return <Loading what="the page" />;
	const Content = page;
	return <Content parts={parts} />;
}

class Guard extends Component<{ children: ComponentChildren; at: string }, { error?: Error }> {
	override state: { error?: Error } = {};

	static override getDerivedStateFromError(error: Error): { error: Error } {
		return { error };
	}

	override componentDidUpdate(before: { at: string }): void {
		if (before.at !== this.props.at && this.state.error) this.setState({ error: undefined as never });
	}

	override render() {
		if (!this.state.error) return this.props.children;
		return (
			<Empty page icon="warn" title="This page has a fault" action={<Button label="Load again" onClick={() => location.reload()} />}>
				<p>The rest of the dashboard and the server are not affected.</p>
				<code>{this.state.error.message}</code>
			</Empty>
		);
	}
}

function Current() {
	const [page = "vms", ...rest] = route.value.parts;
	if (!opened.value) return null;
	if (page === "vms" && rest.length === 0) return <VmsPage />;
	if (page === "vms") return <Lazy name="vm" parts={rest} />;
	if (page === "create" && can("vm_create")) return <Lazy name="create" parts={rest} />;
	const place = PLACES.find((p) => p.path === page);
	if (place && can(place.needs) && LAZY[page]) return <Lazy name={page} parts={rest} />;
	return (
		<Empty page icon="search" title="There is no such page" action={<LinkButton kind="primary" label="To the virtual machines" href={href(["vms"])} />} />
	);
}

function Banner() {
	if (connection.value === "offline") {
		const gone = lostAt.value ? Math.max(0, now.value - lostAt.value) : 0;
		return (
			<div class="banner tone-bad" role="alert">
				<Shape shape="diamond" tone="bad" />
				<span class="grow">
					The server can't be reached{gone > 2000 ? ` for ${duration(Math.floor(gone / 1000) * 1000)}` : ""}. What you see is the
					last known state; running VMs are not affected.
				</span>
			</div>
		);
	}
	if (backAgain.value) {
		return (
			<div class="banner tone-ok" role="status">
				<Shape shape="check" tone="ok" />
				<span class="grow">{backAgain.value}</span>
			</div>
		);
	}
	return null;
}

function titleOf(parts: string[]): string {
	if (parts[0] === "vms" && parts[1]) return `${parts[1]} · banger`;
	if (parts[0] === "create") return "New VM · banger";
	return `${PLACES.find((p) => p.path === (parts[0] ?? "vms"))?.label ?? "banger"} · banger`;
}

export function App() {
	const parts = route.value.parts;
	const at = parts.slice(0, 2).join("/");
	const shown = useRef(at);
	useEffect(() => {
		document.title = titleOf(parts);
		/* the first page is at its top, and to ask would cost a layout while it is being drawn */
		if (shown.current !== at) document.querySelector("[data-scroll]")?.scrollTo(0, 0);
		shown.current = at;
	}, [at]);
	/* what a dialog is about is not on the next page */
	useEffect(() => closeDialog(), [parts.join("/")]);
	useKeys([
		{ keys: "mod+k", label: "Go to or do anything", group: "Everywhere", always: true, run: showPalette },
		{ keys: "?", label: "Keyboard shortcuts", group: "Everywhere", run: showKeys },
		{ keys: "c", label: "New VM", group: "Everywhere", run: () => can("vm_create") && go(["create"]) },
		{ keys: "o", label: "Open or close the task log", group: "Everywhere", run: () => (dockOpen.value = !dockOpen.value) },
		{ keys: "mod+.", label: "Change theme", group: "Everywhere", run: nextTheme },
		...PLACES.map((place) => ({
			keys: `g ${place.key}`, label: place.label, group: "Go to",
			run: () => can(place.needs) && go([place.path]),
		})),
	]);
	if (signedOut.value) return <Gate />;
	return (
		<>
			<a class="skip" href="#main" onClick={(event) => {
				event.preventDefault();
				document.getElementById("main")?.focus();
			}}>
				To the content
			</a>
			<div class="shell">
				<Nav find={showPalette} />
				<main class="main" id="main" tabIndex={-1} data-scroll>
					<Banner />
					<Guard at={parts.join("/")}>
						<Current />
					</Guard>
				</main>
				<Dock />
			</div>
			<Palette />
			<DialogHost />
			<Toasts />
		</>
	);
}
