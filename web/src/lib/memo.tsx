// SPDX-License-Identifier: Apache-2.0
/* A component that is drawn again only when one of its properties is another: for rows of long tables. */
import { Component, type FunctionComponent } from "preact";

function differ(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
	return Object.keys(b).some((key) => a[key] !== b[key]) || Object.keys(a).some((key) => !(key in b));
}

export function memo<P extends object>(View: FunctionComponent<P>) {
	return class Memo extends Component<P> {
		override shouldComponentUpdate(next: Readonly<P>): boolean {
			return differ(this.props as Record<string, unknown>, next as Record<string, unknown>);
		}

		override render() {
			return <View {...(this.props as P)} />;
		}
	};
}
