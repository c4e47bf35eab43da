import { html, type TemplateResult } from "lit";

/** Colours for code, as spans of text: nothing is ever parsed as markup. */

const PATTERNS: Record<string, RegExp> = {
  json: /("(?:\\.|[^"\\])*"(?=\s*:))|("(?:\\.|[^"\\])*")|(‹[^›]*›)|(-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b|\b(?:true|false|null)\b)/g,
  python: /(\b(?:import|from|async|await|with|as|def|for|in|if|elif|else|return|class|while|not|and|or|is|None|True|False)\b)|("""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(#[^\n]*)|(\b\d[\d_.]*\b)/g,
  javascript: /(\b(?:import|from|const|let|await|async|function|return|if|else|for|of|new|export|class|null|true|false|switch|case|break)\b)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(\/\/[^\n]*)|(\b\d[\d_.]*\b)/g,
  shell: /(\b(?:curl|export)\b|(?<=\s)-{1,2}[A-Za-z-]+\b)|("(?:\\.|[^"\\])*"|'[^']*')|(#[^\n]*)|(\$\w+)/g,
};
const CLASSES = ["key", "string", "comment", "number"];

export function highlight(code: string, language: keyof typeof PATTERNS): TemplateResult[] {
  const parts: TemplateResult[] = [];
  let at = 0;
  for (const match of code.matchAll(PATTERNS[language]!)) {
    if (match.index > at) parts.push(html`${code.slice(at, match.index)}`);
    const kind = CLASSES[match.slice(1).findIndex((group) => group !== undefined)];
    parts.push(html`<span class=${kind ?? ""}>${match[0]}</span>`);
    at = match.index + match[0].length;
  }
  parts.push(html`${code.slice(at)}`);
  return parts;
}
