// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/* The server sends files as they lie on disk: everything worth compressing gets a .gz and a .br. */
function precompress(): Plugin {
	let root = "";
	const walk = (dir: string): string[] =>
		readdirSync(dir).flatMap((name) => {
			const path = join(dir, name);
			return statSync(path).isDirectory() ? walk(path) : [path];
		});
	return {
		name: "precompress",
		apply: "build",
		configResolved(config) {
			root = config.build.outDir;
		},
		closeBundle() {
			for (const path of walk(root)) {
				if (!/\.(js|css|html|svg|json|txt)$/.test(path)) continue;
				const data = readFileSync(path);
				writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
				writeFileSync(
					`${path}.br`,
					brotliCompressSync(data, {
						params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
					}),
				);
			}
		},
	};
}

/* The font is known with the page, not only when the first words are to be drawn: they are drawn once. */
function preloadFont(): Plugin {
	return {
		name: "preload-font",
		apply: "build",
		transformIndexHtml: {
			order: "post",
			handler: (_, { bundle }) =>
				Object.keys(bundle ?? {})
					.filter((name) => name.endsWith(".woff2"))
					.map((name) => ({ tag: "link", injectTo: "head" as const, attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `./${name}` } })),
		},
	};
}

const api = process.env["BANGER_API"] ?? "http://127.0.0.1:8421";

export default defineConfig({
	base: "./",
	plugins: [preloadFont(), precompress()],
	esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
	build: {
		target: "es2022",
		/* whoever does not know `modulepreload` loads the same without it */
		modulePreload: { polyfill: false },
		/* data: addresses are not allowed by the content security policy */
		assetsInlineLimit: 0,
		chunkSizeWarningLimit: 700,
	},
	server: {
		proxy: Object.fromEntries(
			["vms", "images", "kernels", "operations", "events", "doctor", "host", "runs",
				"snapshots", "tokens", "healthz", "version", "capabilities", "openapi.json",
				"session", "metrics"].map((p) => [`/${p}`, { target: api, ws: true }]),
		),
	},
});
