import { css } from "lit";

/** The page around the pages: navigation beside them, on a phone below them. */
export const frame = css`
  :host {
    display: block;
    height: 100%;
    background: var(--bg);
  }
  .frame {
    display: grid;
    grid-template: minmax(0, 1fr) / var(--nav) minmax(0, 1fr);
    height: 100%;
  }
  .frame.slim {
    grid-template-columns: 61px minmax(0, 1fr);
  }
  main {
    min-width: 0;
    min-height: 0;
    height: 100%;
  }
  main > * {
    display: block;
    height: 100%;
  }
  main > parley-talk-page {
    display: grid;
  }
  nav {
    display: flex;
    flex-direction: column;
    gap: 2px;
    padding: 0 12px 12px;
    border-right: 1px solid var(--line);
    background: var(--bg);
    min-width: 0;
    min-height: 0;
  }
  nav > * {
    flex: none;
  }
  nav > .links {
    flex: 1 1 0;
    min-height: 96px;
  }
  .links {
    margin: 0 -12px;
    padding: 0 12px;
    overflow: hidden auto;
  }
  .links a {
    margin-bottom: 2px;
  }
  .links h2 {
    margin: 14px 0 4px;
    padding: 0 10px;
    color: var(--quiet);
    font-size: 12px;
    font-weight: 500;
    white-space: nowrap;
  }
  .brand {
    display: flex;
    align-items: center;
    gap: 10px;
    height: 56px;
    padding: 0 6px;
    font-size: 15px;
    font-weight: 650;
    letter-spacing: -0.01em;
  }
  .logo {
    flex: none;
    display: grid;
    place-items: center;
    width: 24px;
    height: 24px;
    border-radius: 7px;
    background: var(--accent);
    color: #fff;
    font-size: 15px;
  }
  .link,
  .item {
    display: flex;
    align-items: center;
    gap: 10px;
    height: 36px;
    padding: 0 10px;
    border: 0;
    border-radius: var(--radius-s);
    background: none;
    color: var(--soft);
    font-weight: 500;
    text-decoration: none;
    text-align: left;
    cursor: pointer;
    white-space: nowrap;
    overflow: hidden;
  }
  .link wa-icon,
  .item wa-icon {
    flex: none;
    font-size: 16px;
    color: var(--quiet);
  }
  .link:hover,
  .item:hover {
    background: var(--hover);
  }
  .link[aria-current="page"] {
    background: var(--selected);
    color: var(--text);
  }
  .link[aria-current="page"] wa-icon {
    color: var(--accent-text);
  }
  .call {
    display: flex;
    align-items: center;
    gap: 8px;
    margin-bottom: 8px;
    padding: 8px 8px 8px 10px;
    border: 1px solid var(--line);
    border-radius: var(--radius);
    background: var(--surface);
    font-size: 13px;
  }
  .call .live {
    flex: none;
    width: 8px;
    height: 8px;
    border-radius: 4px;
    background: var(--good);
  }
  .version {
    padding: 8px 10px 0;
    color: var(--quiet);
    font-size: 12px;
  }
  .slim .call {
    justify-content: center;
    padding: 3px;
  }
  .slim .call .live,
  .slim .label,
  .slim .version,
  .slim .links h2,
  .slim .brand .label,
  .slim .call .label {
    display: none;
  }
  .slim .links div + div {
    margin-top: 12px;
    padding-top: 12px;
    border-top: 1px solid var(--line);
  }
  .skip {
    position: absolute;
    left: -999px;
  }
  .skip:focus {
    left: 12px;
    top: 12px;
    z-index: 50;
    padding: 8px 12px;
    border-radius: var(--radius-s);
    background: var(--raised);
  }
  .center {
    height: 100%;
    display: grid;
    place-content: center;
  }
  .more {
    display: none;
  }
  .sheet {
    position: fixed;
    inset: auto 8px calc(64px + env(safe-area-inset-bottom)) 8px;
    max-height: calc(100dvh - 96px);
    width: auto;
    margin: 0;
    padding: 8px;
    overflow: auto;
    border: 1px solid var(--line-strong);
    border-radius: var(--radius);
    background: var(--raised);
    box-shadow: var(--wa-shadow-l);
  }
  .sheet .item {
    width: 100%;
  }
  .sheet .links {
    margin: 0;
    padding: 0;
  }
  .sheet .link,
  .sheet .item {
    height: 44px;
  }
  .frame .sheet .label {
    display: inline;
  }
  @media (max-width: 760px) {
    .frame,
    .frame.slim {
      grid-template: minmax(0, 1fr) auto / minmax(0, 1fr);
    }
    main {
      grid-row: 1;
    }
    nav {
      grid-row: 2;
      flex-direction: row;
      justify-content: space-around;
      gap: 0;
      padding: 4px 4px max(4px, env(safe-area-inset-bottom));
      border-right: 0;
      border-top: 1px solid var(--line);
    }
    nav .links,
    nav .links > div {
      display: contents;
    }
    nav .more {
      display: flex;
    }
    nav .link {
      flex: 1;
      flex-direction: column;
      justify-content: center;
      gap: 2px;
      height: 48px;
      margin: 0;
      padding: 0;
      font-size: 11px;
    }
    .frame nav .link .label {
      display: block;
    }
    nav .link wa-icon {
      font-size: 18px;
    }
    nav .brand,
    nav .foot,
    nav h2,
    nav .link:not(.tab) {
      display: none !important;
    }
  }
  @media (min-width: 761px) {
    .sheet {
      display: none !important;
    }
  }
`;
