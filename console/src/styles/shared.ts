import { css } from "lit";

/** What every element of the console looks like. */
export const shared = css`
  :host {
    box-sizing: border-box;
    color: var(--text);
    font: 14px/1.5 var(--font);
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h1,
  h2,
  h3,
  p,
  ul,
  ol,
  dl,
  dd,
  figure,
  pre {
    margin: 0;
    padding: 0;
  }
  h1 {
    font-size: 16px;
    font-weight: 600;
    letter-spacing: -0.01em;
    line-height: 24px;
  }
  h2 {
    font-size: 13px;
    font-weight: 600;
    line-height: 20px;
  }
  ul,
  ol {
    list-style: none;
  }
  code,
  pre,
  .mono {
    font-family: var(--mono);
    font-size: 13px;
  }
  .num {
    font-variant-numeric: tabular-nums;
  }
  .quiet {
    color: var(--quiet);
  }
  .small {
    font-size: 12px;
    line-height: 16px;
  }
  .cut {
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
    min-width: 0;
  }
  .grow {
    flex: 1;
    min-width: 0;
  }
  .row {
    display: flex;
    align-items: center;
    gap: 8px;
  }
  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  wa-icon {
    flex: none;
    width: 1.15em;
    height: 1.15em;
  }
  wa-icon::part(svg) {
    width: 100%;
    height: 100%;
    max-width: none;
  }
  button {
    font: inherit;
    color: inherit;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 1px;
  }
  a {
    color: var(--accent-text);
  }
  kbd {
    font: 500 11px/16px var(--font);
    padding: 0 5px;
    border: 1px solid var(--line-strong);
    border-bottom-width: 2px;
    border-radius: 4px;
    color: var(--quiet);
  }

  /* ---- buttons */
  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 8px;
    height: 32px;
    padding: 0 12px;
    border: 1px solid var(--line-strong);
    border-radius: var(--radius-s);
    background: var(--surface);
    font-weight: 500;
    white-space: nowrap;
    cursor: pointer;
    transition: background 120ms, border-color 120ms;
  }
  .button:hover {
    background: linear-gradient(var(--hover), var(--hover)), var(--surface);
  }
  .button:disabled {
    opacity: 0.5;
    cursor: default;
  }
  .button.primary {
    background: var(--accent);
    border-color: transparent;
    color: #fff;
  }
  .button.primary:hover:not(:disabled) {
    background: var(--accent-hover);
  }
  .button.danger {
    background: var(--danger);
    border-color: transparent;
    color: #fff;
  }
  .button.plain {
    border-color: transparent;
    background: transparent;
  }
  .button.plain:hover:not(:disabled) {
    background: var(--hover);
  }
  .button.icon {
    width: 32px;
    padding: 0;
  }
  .button.small {
    height: 28px;
    padding: 0 10px;
    font-size: 13px;
  }
  .button.icon.small {
    width: 28px;
    padding: 0;
  }
  .button[aria-pressed="true"] {
    background: var(--accent-soft);
    border-color: var(--accent-line);
    color: var(--accent-text);
  }

  /* ---- fields */
  .control {
    width: 100%;
    min-height: 32px;
    padding: 5px 10px;
    border: 1px solid var(--line-strong);
    border-radius: var(--radius-s);
    background: var(--field);
    color: inherit;
    font: 13px/20px var(--font);
    transition: border-color 120ms;
  }
  .control:hover:not(:disabled) {
    border-color: var(--quiet);
  }
  .control:focus-visible {
    outline-offset: -1px;
  }
  .control:disabled {
    opacity: 0.55;
  }
  .control::placeholder {
    color: var(--quiet);
    opacity: 1;
  }
  textarea.control {
    resize: vertical;
  }
  @supports (appearance: base-select) {
    select.control,
    select.control::picker(select) {
      appearance: base-select;
    }
    select.control {
      align-items: center;
    }
    select.control::picker-icon {
      content: "";
      align-self: center;
      width: 6px;
      height: 6px;
      margin: -3px 2px 0 auto;
      border: solid var(--quiet);
      border-width: 0 1.5px 1.5px 0;
      rotate: 45deg;
    }
    select.control::picker(select) {
      margin-top: 4px;
      padding: 4px;
      border: 1px solid var(--line-strong);
      border-radius: var(--radius);
      background: var(--raised);
      color: var(--text);
      box-shadow: var(--wa-shadow-l);
    }
    select.control option {
      gap: 8px;
      padding: 5px 8px;
      border-radius: 4px;
      font-size: 13px;
    }
    select.control option:hover,
    select.control option:focus-visible {
      background: var(--hover);
      outline: none;
    }
    select.control option:checked {
      background: var(--accent-soft);
      color: var(--accent-text);
    }
    select.control option::checkmark {
      display: none;
    }
  }

  /* ---- one of a few */
  .segments {
    display: flex;
    padding: 2px;
    gap: 2px;
    border-radius: var(--radius-s);
    background: var(--selected);
  }
  .segments button {
    flex: 1;
    height: 28px;
    padding: 0 10px;
    border: 0;
    border-radius: 5px;
    background: transparent;
    color: var(--quiet);
    font-size: 13px;
    font-weight: 500;
    white-space: nowrap;
    cursor: pointer;
  }
  .segments button[aria-checked="true"],
  .segments button[aria-selected="true"] {
    background: var(--thumb);
    color: var(--text);
    box-shadow: 0 0 0 0.5px rgb(0 0 0 / 8%), 0 1px 2px rgb(0 0 0 / 8%);
  }

  /* ---- panels */
  .card {
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: var(--radius);
  }
  .pill {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    height: 22px;
    padding: 0 8px;
    border-radius: 11px;
    background: var(--selected);
    color: var(--soft);
    font-size: 12px;
    font-weight: 500;
    white-space: nowrap;
  }
  .pill.good {
    background: var(--good-soft);
    color: var(--good-text);
  }
  .pill.warn {
    background: var(--warn-soft);
    color: var(--warn-text);
  }
  .pill.bad {
    background: var(--danger-soft);
    color: var(--danger-text);
  }
  .pill.accent {
    background: var(--accent-soft);
    color: var(--accent-text);
  }
  .page-head {
    display: flex;
    align-items: center;
    gap: 12px;
    min-height: 56px;
    padding: 0 24px;
    border-bottom: 1px solid var(--line);
    background: var(--surface);
  }
  .empty {
    display: grid;
    place-content: center;
    justify-items: center;
    gap: 12px;
    padding: 48px 24px;
    text-align: center;
    color: var(--quiet);
  }
  .empty h2 {
    font-size: 16px;
    line-height: 24px;
    color: var(--text);
  }
  .empty p {
    max-width: 44ch;
  }
  .badge-icon {
    display: grid;
    place-items: center;
    width: 48px;
    height: 48px;
    border-radius: 12px;
    border: 1px solid var(--line);
    background: var(--surface);
    color: var(--quiet);
    font-size: 22px;
  }
  ::-webkit-scrollbar {
    width: 10px;
    height: 10px;
  }
  ::-webkit-scrollbar-thumb {
    border: 3px solid transparent;
    border-radius: 5px;
    background: var(--line-strong) content-box;
  }
  @media (max-width: 760px) {
    .page-head {
      padding: 0 16px;
    }
    .wide {
      display: none !important;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    *,
    *::before,
    *::after {
      transition: none !important;
      animation-duration: 0.01ms !important;
    }
  }
`;
