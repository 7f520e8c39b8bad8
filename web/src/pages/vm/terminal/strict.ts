// SPDX-License-Identifier: Apache-2.0
/*
 * xterm writes <style> elements and `style` attributes, which the content security policy refuses.
 * Here the same goes through the CSS object model, which it allows: a stand-in takes the place of
 * each <style> and keeps a constructed style sheet, and spans turn the attribute into properties.
 */

function styleElement(): HTMLElement {
	const element = create("span");
	const sheet = new CSSStyleSheet();
	element.hidden = true;
	document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
	Object.defineProperty(element, "textContent", { get: () => "", set: (text: string) => sheet.replaceSync(text) });
	element.remove = () => {
		document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
		Element.prototype.remove.call(element);
	};
	return element;
}

const create = (tag: string): HTMLElement => Document.prototype.createElement.call(document, tag) as HTMLElement;

function createElement(tag: string): HTMLElement {
	if (tag.toLowerCase() === "style") return styleElement();
	const element = create(tag);
	if (tag.toLowerCase() === "span") {
		element.setAttribute = (name: string, value: string): void => {
			if (name === "style") element.style.cssText = value;
			else Element.prototype.setAttribute.call(element, name, value);
		};
	}
	return element;
}

/** The document for xterm: everything is the real one's, but elements are made as above. */
export const strictDocument: Document = new Proxy(document, {
	get(target, key) {
		if (key === "createElement") return createElement;
		const value = Reflect.get(target, key, target) as unknown;
		return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
	},
});

/** Runs `work` while the page's own document makes elements so too: xterm's viewport asks that one. */
export function strictly(work: () => void): void {
	Object.defineProperty(document, "createElement", { value: createElement, configurable: true });
	try {
		work();
	} finally {
		delete (document as { createElement?: unknown }).createElement;
	}
}
