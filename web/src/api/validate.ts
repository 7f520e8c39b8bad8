// SPDX-License-Identifier: Apache-2.0
/* Checks a form's value against the document's schema while somebody types. The server has the last word. */
import { resolve, type Schema } from "./capabilities";
import { count } from "../lib/format";

function range(schema: Schema): string {
	const { minimum: lo, maximum: hi } = schema;
	if (lo !== undefined && hi !== undefined) return `Between ${count(lo)} and ${count(hi)}.`;
	if (lo !== undefined) return `At least ${count(lo)}.`;
	return `At most ${count(hi ?? 0)}.`;
}

/** The first thing wrong with `value`, as a sentence; undefined when it is fine or absent. */
export function problemOf(value: unknown, raw: Schema): string | undefined {
	const schema = resolve(raw);
	if (value === undefined) return undefined;
	const types = Array.isArray(schema.type) ? schema.type : schema.type ? [schema.type] : [];
	if (types.includes("integer") || types.includes("number")) {
		if (typeof value !== "number" || !Number.isFinite(value)) return "A number is needed.";
		if (types.includes("integer") && !Number.isInteger(value)) return "A whole number is needed.";
		if (schema.minimum !== undefined && value < schema.minimum) return range(schema);
		if (schema.maximum !== undefined && value > schema.maximum) return range(schema);
	}
	if (types.includes("string") && typeof value === "string") {
		if (schema.enum && !schema.enum.includes(value)) return `One of ${schema.enum.join(", ")}.`;
		if (schema.maxLength !== undefined && value.length > schema.maxLength) return `At most ${schema.maxLength} characters.`;
		if (schema.minLength !== undefined && value.length < schema.minLength) return `At least ${schema.minLength} characters.`;
		if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) {
			return schema["x-banger-remedy"] ?? "This is not of the expected form.";
		}
	}
	if (types.includes("object") && value && typeof value === "object") {
		for (const [key, item] of Object.entries(value)) {
			const wrong =
				(schema.propertyNames && problemOf(key, schema.propertyNames)) ??
				(typeof schema.additionalProperties === "object" ? problemOf(item, schema.additionalProperties) : undefined);
			if (wrong) return wrong;
		}
	}
	return undefined;
}
