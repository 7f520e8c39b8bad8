// SPDX-License-Identifier: Apache-2.0
/* What an event has to say beyond its kind, in a line for people. Pure, for tests. */
import type { ApiEvent } from "../../api/types";
import { bytes } from "../../lib/format";
import { visible } from "../../lib/visible";
import { commandOf } from "../runs/about";

export interface Gist {
	state?: string;
	text: string;
}

type Data = Record<string, unknown>;

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const joined = (...parts: (string | false | undefined)[]): string => parts.filter(Boolean).join(" · ");

function ofOperation(data: Data): Gist {
	const error = data["error"] as { detail?: string } | undefined;
	const kind = text(data["kind"]).replace(/[._]/g, " ");
	return { state: text(data["state"]), text: error?.detail ? `${kind}: ${error.detail}` : kind };
}

/** How a command ended, as far as it has. */
function ending(data: Data): string {
	if (data["timed_out"] === true) return "its time ran out";
	if (data["signal"]) return `killed by signal ${String(data["signal"])}`;
	return typeof data["exit_code"] === "number" ? `exit ${data["exit_code"]}` : "";
}

function ofCommand(data: Data): Gist {
	const command = visible(commandOf({ argv: list(data["argv"]) }).split("\n")[0] ?? "");
	const written = typeof data["output_bytes"] === "number" && data["output_bytes"] > 0 && `${bytes(data["output_bytes"])} of output`;
	const phase = text(data["phase"]);
	return { state: text(data["state"]), text: joined(command, data["tty"] === true && "terminal", phase !== "ended" && phase !== data["state"] && phase, ending(data), written) };
}

const REFUSED = 400;

function ofRequest(data: Data): Gist {
	const status = Number(data["status"]);
	const line = `${text(data["method"])} ${text(data["path"])}`;
	return status >= REFUSED ? { state: "refused", text: `${line} · ${status}` } : { text: line };
}

/** Told elsewhere in the row, or nothing that a person could use. */
const SILENT = ["state", "to", "from", "reason", "detail", "message", "id", "vm"];

export function gist(event: ApiEvent): Gist {
	const data = (event.data ?? {}) as Data;
	if (Array.isArray(data["stages"]) && "kind" in data) return ofOperation(data);
	if (Array.isArray(data["argv"])) return ofCommand(data);
	if (event.kind === "request") return ofRequest(data);
	const state = text(data["state"]) || text(data["to"]);
	const reason = text(data["reason"]) || text(data["detail"]) || text(data["message"]);
	const from = text(data["from"]) && state ? `was ${text(data["from"])}` : "";
	const rest = Object.entries(data)
		.filter(([key, value]) => !SILENT.includes(key) && value !== null && value !== false && value !== "" && typeof value !== "object")
		.map(([key, value]) => `${key.replace(/_/g, " ")} ${String(value)}`);
	return { ...(state ? { state } : {}), text: joined(reason || from, ...rest) };
}
