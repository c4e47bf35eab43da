import { noChange } from "lit";
import { Directive, directive, type AttributePart, type PartInfo } from "lit/directive.js";

export type StyleInfo = Readonly<Record<string, string | number | undefined | null>>;

/** `styleMap` for a strict content security policy: it never writes the attribute, only the style object. */
class StyleMapDirective extends Directive {
  private names = new Set<string>();

  constructor(part: PartInfo) {
    super(part);
  }

  render(_styles: StyleInfo): typeof noChange {
    return noChange;
  }

  override update(part: AttributePart, [styles]: [StyleInfo]): typeof noChange {
    const { style } = part.element as HTMLElement;
    for (const name of this.names) {
      if (styles[name] == null) {
        this.names.delete(name);
        style.removeProperty(dashed(name));
      }
    }
    for (const [name, value] of Object.entries(styles)) {
      if (value == null) continue;
      this.names.add(name);
      const important = typeof value === "string" && value.endsWith(" !important");
      style.setProperty(dashed(name), important ? value.slice(0, -11) : String(value), important ? "important" : "");
    }
    return noChange;
  }
}

const dashed = (name: string) =>
  name.includes("-") ? name : name.replace(/^(?:Webkit|webkit|Moz|ms)|[A-Z]/g, (part) => `-${part.toLowerCase()}`);

export const styleMap = directive(StyleMapDirective);
