// SPDX-License-Identifier: Apache-2.0
/*
 * What this server can do: a control is drawn only when its operation is there, a field of a form
 * only when the schema knows it. Operations are those that the dashboard was built with until the
 * server's own OpenAPI document is there; that one is large, and comes after what people look at.
 */
import { signal } from "@preact/signals";
import { send } from "./client";
import { KNOWN } from "./known";
import type { OperationId } from "./types";

export interface Schema {
	$ref?: string;
	type?: string | string[];
	description?: string;
	enum?: string[];
	pattern?: string;
	minimum?: number;
	maximum?: number;
	minLength?: number;
	maxLength?: number;
	maxProperties?: number;
	default?: unknown;
	required?: string[];
	properties?: Record<string, Schema>;
	propertyNames?: Schema;
	additionalProperties?: boolean | Schema;
	items?: Schema;
	"x-banger-remedy"?: string;
}

interface Document {
	info: { version: string };
	paths: Record<string, Record<string, { operationId?: string } | unknown>>;
	components: { schemas: Record<string, Schema> };
}

const METHODS = ["get", "post", "put", "patch", "delete"];
const document_ = signal<Document | null>(null);
const operations = signal<ReadonlySet<string>>(new Set(KNOWN));

export const documentLoaded = (): boolean => document_.value !== null;

let wanted = false;
let asked: Promise<void> | null = null;

/** Asks for the document once it is needed and not there: at first, and again when the server is back. */
export async function loadDocument(): Promise<void> {
	if (!wanted || document_.peek()) return;
	asked ??= send("get", "/openapi.json")
		.then(async (response) => setDocument((await response.json()) as Document))
		.finally(() => (asked = null));
	await asked;
}

/** For what draws forms: without it `schemaOf` knows nothing yet. A failure is tried again by the live store. */
export function needDocument(): void {
	wanted = true;
	void loadDocument().catch(() => undefined);
}

export function setDocument(doc: Document): void {
	const ids = new Set<string>();
	for (const item of Object.values(doc.paths)) {
		for (const method of METHODS) {
			const id = (item[method] as { operationId?: string } | undefined)?.operationId;
			if (id) ids.add(id);
		}
	}
	operations.value = ids;
	document_.value = doc;
}

export const can = (operation: OperationId): boolean => operations.value.has(operation);

/** A named schema, with references followed; what stands beside a `$ref` wins. */
export function schemaOf(name: string): Schema | undefined {
	const schema = document_.value?.components.schemas[name];
	return schema && resolve(schema);
}

export function resolve(schema: Schema): Schema {
	let result = schema;
	for (let depth = 0; result.$ref && depth < 8; depth++) {
		const { $ref, ...beside } = result;
		const target = document_.value?.components.schemas[$ref.replace("#/components/schemas/", "")];
		if (!target) break;
		result = { ...target, ...beside };
	}
	return result;
}

export function hasField(schema: string, field: string): boolean {
	return schemaOf(schema)?.properties?.[field] !== undefined;
}
