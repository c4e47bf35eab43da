import { css } from "lit";

/** Pages of tables, figures and forms. */
export const desk = css`
  :host {
    display: grid !important;
    grid-template-rows: auto minmax(0, 1fr);
    height: 100%;
  }
  .body {
    overflow: auto;
    padding: 24px;
  }
  .inner {
    max-width: 1120px;
    margin: 0 auto;
    display: flex;
    flex-direction: column;
    gap: 24px;
  }
  .inner > .empty {
    border: 1px dashed var(--line-strong);
    border-radius: var(--radius);
  }
  .bar {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 8px 16px;
  }
  .bar > input {
    max-width: 320px;
  }
  a.button {
    color: inherit;
    text-decoration: none;
  }
  section.card > header {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 8px;
    min-height: 48px;
    padding: 8px 16px;
    border-bottom: 1px solid var(--line);
  }
  section.card > .note,
  .scroll > .note {
    padding: 16px;
    color: var(--quiet);
  }
  section.card > form {
    padding: 16px;
  }
  section.card > footer {
    display: flex;
    justify-content: center;
    padding: 8px;
  }

  /* ---- figures */
  .figures {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(180px, 1fr));
    gap: 16px;
  }
  .figure {
    padding: 16px;
  }
  .figure dt {
    color: var(--quiet);
    font-size: 13px;
  }
  .figure dd {
    margin-top: 4px;
    font-size: 24px;
    font-weight: 600;
    line-height: 32px;
    letter-spacing: -0.02em;
    font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere;
  }
  .figure dd + dd {
    margin: 0;
    color: var(--quiet);
    font-size: 12px;
    font-weight: 400;
    line-height: 16px;
    letter-spacing: 0;
  }

  /* ---- tables */
  .scroll {
    position: relative;
    overflow-x: auto;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    font-size: 13px;
  }
  th,
  td {
    padding: 8px 12px;
    border-bottom: 1px solid var(--line);
    text-align: left;
    font-weight: 400;
    vertical-align: top;
  }
  th:first-child,
  td:first-child {
    padding-left: 16px;
  }
  th:last-child,
  td:last-child {
    padding-right: 16px;
  }
  tbody tr:last-child > * {
    border-bottom: 0;
  }
  tfoot > tr > * {
    border-top: 1px solid var(--line-strong);
    border-bottom: 0;
    font-weight: 600;
  }
  thead th {
    padding-block: 6px;
    color: var(--quiet);
    font-size: 12px;
    white-space: nowrap;
  }
  tbody th {
    font-weight: 500;
  }
  .right {
    text-align: right;
    font-variant-numeric: tabular-nums;
    white-space: nowrap;
  }
  .still,
  td > code {
    white-space: nowrap;
  }
  .off > * {
    color: var(--quiet);
  }
  td .row {
    flex-wrap: wrap;
    gap: 4px;
  }
  td.actions {
    padding-block: 4px;
    white-space: nowrap;
    text-align: right;
  }
  td.actions > * {
    vertical-align: middle;
  }
  @media (max-width: 760px) {
    .body {
      padding: 16px;
    }
    .inner {
      gap: 16px;
    }
    .figures {
      gap: 8px;
    }

    /* A row below the other's cells: nothing stands outside the screen. */
    .stacked thead {
      position: absolute;
      width: 1px;
      height: 1px;
      overflow: hidden;
      clip-path: inset(50%);
    }
    .stacked,
    .stacked tbody {
      display: block;
    }
    .stacked tr {
      display: flex;
      flex-direction: column;
      gap: 4px;
      padding: 12px 16px;
      border-bottom: 1px solid var(--line);
    }
    .stacked tbody tr:last-child {
      border-bottom: 0;
    }
    .stacked tr > * {
      display: flex;
      justify-content: space-between;
      gap: 16px;
      padding: 0 !important;
      border: 0;
      text-align: right;
      overflow-wrap: anywhere;
    }
    .stacked tr > th {
      text-align: left;
      font-weight: 600;
    }
    .stacked td[data-label]::before {
      content: attr(data-label);
      flex: none;
      color: var(--quiet);
      text-align: left;
    }
    .stacked td.actions {
      justify-content: flex-end;
      gap: 4px;
    }
    .stacked td:empty,
    .stacked td.actions:not(:has(*)) {
      display: none;
    }
  }
`;

/** What stands in a form, one field below the other. */
export const fields = css`
  form {
    display: flex;
    flex-direction: column;
    gap: 16px;
  }
  .field {
    display: flex;
    flex-direction: column;
    gap: 6px;
    font-size: 13px;
    font-weight: 500;
  }
  .field > .quiet,
  fieldset .quiet {
    font-size: 12px;
    font-weight: 400;
    line-height: 16px;
  }
  .two {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(max(132px, 40%), 1fr));
    gap: 12px;
    align-items: start;
  }
  fieldset {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 16px;
    margin: 0;
    padding: 0;
    border: 0;
    min-width: 0;
  }
  legend {
    padding: 0 0 6px;
    font-size: 13px;
    font-weight: 500;
  }
  .check {
    display: inline-flex;
    align-items: center;
    gap: 8px;
    min-height: 28px;
    font-size: 13px;
  }
  .check input {
    width: 16px;
    height: 16px;
    margin: 0;
    accent-color: var(--accent);
  }
  .list {
    max-height: 168px;
    overflow: auto;
    padding: 6px 10px;
    border: 1px solid var(--line-strong);
    border-radius: var(--radius-s);
  }
  details > summary {
    width: fit-content;
    color: var(--accent-text);
    font-size: 13px;
    font-weight: 500;
    cursor: pointer;
  }
  details[open] > summary {
    margin-bottom: 12px;
  }
  details > .stack,
  .stack {
    display: flex;
    flex-direction: column;
    gap: 16px;
  }
  .end {
    display: flex;
    justify-content: flex-end;
    gap: 8px;
  }
  .refusal {
    padding: 8px 12px;
    border: 1px solid var(--warn-line);
    border-radius: var(--radius-s);
    background: var(--warn-soft);
    color: var(--warn-text);
    font-size: 13px;
    overflow-wrap: anywhere;
  }
`;
