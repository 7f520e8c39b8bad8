// SPDX-License-Identifier: Apache-2.0
import { can } from "../api/capabilities";
import type { OperationId } from "../api/types";
import { href, route } from "../lib/router";
import { remembered } from "../lib/storage";
import { count } from "../lib/format";
import { call, setToken, signedOut, token } from "../api/client";
import { connection, doctor, session, version, vmCount, vmsLoaded, type Connection } from "../store/live";
import { utc } from "../store/clock";
import { caps } from "../lib/keys";
import { Kbd } from "../ui/basics";
import { Icon, type IconName } from "../ui/icon";
import { Mark } from "../ui/mark";
import { Menu } from "../ui/menu";
import { Shape, lookOf, type Tone } from "../ui/state";
import { showKeys } from "./help";

export interface Place {
	path: string;
	label: string;
	short?: string;
	icon: IconName;
	needs: OperationId;
	key: string;
	group: "Work" | "Library" | "System";
}

export const PLACES: Place[] = [
	{ path: "vms", label: "Virtual machines", short: "VMs", icon: "vms", needs: "vm_list", key: "v", group: "Work" },
	{ path: "runs", label: "Runs", icon: "runs", needs: "run_list", key: "r", group: "Work" },
	{ path: "snapshots", label: "Snapshots", icon: "camera", needs: "snapshot_list", key: "s", group: "Work" },
	{ path: "images", label: "Images & kernels", short: "Images", icon: "image", needs: "image_list", key: "i", group: "Library" },
	{ path: "host", label: "Host & doctor", short: "Host", icon: "doctor", needs: "doctor", key: "h", group: "System" },
	{ path: "events", label: "Events", icon: "events", needs: "event_stream", key: "e", group: "System" },
	{ path: "tokens", label: "Tokens", icon: "tokens", needs: "token_list", key: "t", group: "System" },
];

export const theme = remembered<string>("theme", "auto");
theme.subscribe((value) => {
	if (value === "auto") delete document.documentElement.dataset["theme"];
	else document.documentElement.dataset["theme"] = value;
});

const THEMES: [string, string, IconName][] = [
	["auto", "As the system", "auto"],
	["light", "Light", "sun"],
	["dark", "Dark", "moon"],
];

const LINKS: Record<Connection, [string, Tone]> = {
	connecting: ["Connecting…", "info"],
	live: ["Live", "ok"],
	polling: ["Polling", "warn"],
	offline: ["Offline", "bad"],
};

export const placesOffered = (): Place[] => PLACES.filter((place) => can(place.needs));

async function signOut(): Promise<void> {
	if (session.peek()?.cookie && can("session_delete")) await call("delete", "/session").catch(() => undefined);
	setToken("");
	signedOut.value = true;
}

function preferences() {
	return [
		{ heading: "Theme" },
		...THEMES.map(([value, label, icon]) => ({
			label, icon, checked: theme.value === value, run: () => (theme.value = value),
		})),
		{ heading: "Times" },
		{ label: "Local time", checked: !utc.value, run: () => (utc.value = false) },
		{ label: "UTC", checked: utc.value, run: () => (utc.value = true) },
		"line" as const,
		{ label: "Keyboard shortcuts", icon: "keyboard" as const, hint: "?", run: showKeys },
		...(session.value
			? [
					{ heading: `Signed in as ${session.value.principal} (${session.value.scope})` },
					...(session.value.cookie || token.value ? [{ label: "Sign out", icon: "power" as const, run: () => void signOut() }] : []),
					"line" as const,
				]
			: []),
		{ label: "API reference", icon: "open" as const, href: "/docs" },
		{ label: "API document", icon: "open" as const, href: "/openapi.json" },
	];
}

export function Nav({ find }: { find: () => void }) {
	const page = route.value.parts[0] ?? "vms";
	const groups = ["Work", "Library", "System"] as const;
	const [word, tone] = LINKS[connection.value];
	return (
		<nav class="nav" aria-label="Pages">
			<a class="brand" href={href(["vms"])}>
				<Mark />
				banger
			</a>
			<button type="button" class="find hide-phone" onClick={find} title="Go to a VM or a page, or do something" aria-keyshortcuts="Control+K">
				<Icon name="search" />
				<span>Go to or do</span>
				<Kbd keys={caps("mod+k")} />
			</button>
			{groups.map((group) => {
				const places = placesOffered().filter((place) => place.group === group);
				return (
					places.length > 0 && (
						<>
							{group !== "Work" && <h2>{group}</h2>}
							{places.map((place) => (
								<a
									key={place.path}
									class="link"
									href={href([place.path])}
									aria-current={page === place.path || (page === "create" && place.path === "vms") ? "page" : undefined}
									title={`${place.label} (g ${place.key})`}
								>
									<Icon name={place.icon} />
									<span class="hide-phone">{place.label}</span>
									<span class="only-phone">{place.short ?? place.label}</span>
									{place.path === "vms" && vmsLoaded.value && vmCount.value > 0 && <span class="count num">{count(vmCount.value)}</span>}
									{place.path === "host" && doctor.value && doctor.value.status !== "pass" && (
										<span class="count">
											<Shape {...lookOf(doctor.value.status)} />
											<span class="sr">{doctor.value.status}</span>
										</span>
									)}
								</a>
							))}
						</>
					)
				);
			})}
			<div class="foot">
				<div class="link-state" role="status">
					<Shape shape={tone === "info" ? "spin" : tone === "ok" ? "disc" : tone === "warn" ? "triangle" : "diamond"} tone={tone} />
					<span>{word}</span>
					{version.value && <span class="grow right">v{version.value}</span>}
				</div>
				<Menu items={preferences} title="Preferences" label="Preferences" icon="auto" align="start" />
			</div>
		</nav>
	);
}

/** On a phone the preferences stand in the page's head instead. */
export function PhonePreferences() {
	return (
		<span class="only-phone">
			<Menu items={preferences} title="Preferences" icon="auto" />
		</span>
	);
}

export function nextTheme(): void {
	const at = THEMES.findIndex(([value]) => value === theme.value);
	theme.value = THEMES[(at + 1) % THEMES.length]?.[0] ?? "auto";
}

