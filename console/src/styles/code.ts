import { css } from "lit";

export const code = css`
  pre.code {
    margin: 0;
    font: 13px/20px var(--mono);
    tab-size: 2;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  pre.code .key {
    color: var(--code-key);
  }
  pre.code .string {
    color: var(--code-string);
  }
  pre.code .number {
    color: var(--code-number);
  }
  pre.code .comment {
    color: var(--code-comment);
  }
`;
