// SPDX-License-Identifier: Apache-2.0
/* What a page does, as commands to take away: with curl, and with the CLI where that has a word for it. */
import { endpoint } from "../pages/create/example";
import { curl, type RequestSketch } from "../lib/shell";
import { Command } from "./basics";
import { showDialog } from "./dialog";

export interface Recipe {
	label: string;
	request: RequestSketch;
	cli?: string;
}

export function Recipes({ list }: { list: Recipe[] }) {
	return (
		<div class="recipes">
			{list.map((recipe) => (
				<section key={recipe.label}>
					<h3>{recipe.label}</h3>
					<Commands recipe={recipe} />
				</section>
			))}
		</div>
	);
}

function Commands({ recipe }: { recipe: Recipe }) {
	return (
		<>
			<Command text={curl(recipe.request, endpoint())} what={`curl command: ${recipe.label}`} />
			{recipe.cli && <Command text={recipe.cli} what={`CLI command: ${recipe.label}`} />}
		</>
	);
}

export function showRecipes(title: string, list: Recipe[]): void {
	showDialog({ title, wide: true, body: <Recipes list={list} /> });
}

/** Folded away, beside the button that does it. */
export function AsShell({ recipe }: { recipe: Recipe }) {
	return (
		<details class="as-shell">
			<summary>As {recipe.cli ? "curl and CLI" : "curl"}</summary>
			<div class="stack tight"><Commands recipe={recipe} /></div>
		</details>
	);
}
