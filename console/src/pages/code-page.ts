import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { SettingsError } from "../model/settings.js";
import { LANGUAGES, snippet, type Language } from "../model/snippets.js";
import { recall, remember } from "../model/storage.js";
import { go, href } from "../router.js";
import { code } from "../styles/code.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import "../ui/copy.js";
import { highlight } from "../ui/highlight.js";
import "../ui/segmented.js";
import { Watch } from "../watch.js";

@customElement("parley-code-page")
export class CodePage extends LitElement {
  static override styles = [
    shared,
    code,
    css`
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
        max-width: 920px;
        margin: 0 auto;
        display: flex;
        flex-direction: column;
        gap: 16px;
      }
      .bar {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px 16px;
      }
      .card {
        overflow: hidden;
      }
      .card > header {
        display: flex;
        align-items: center;
        height: 44px;
        padding: 0 8px 0 16px;
        border-bottom: 1px solid var(--line);
      }
      pre.code {
        padding: 16px;
        background: var(--sunken);
        white-space: pre;
        overflow-x: auto;
        overflow-wrap: normal;
      }
      @media (max-width: 760px) {
        .body {
          padding: 16px;
        }
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;
  @state() private language: Language = recall<Language>("language") ?? "python";

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
  }

  override render(): TemplateResult {
    const chosen = LANGUAGES.find(({ id }) => id === this.language) ?? LANGUAGES[0]!;
    const config = this.talk.config();
    const text = config instanceof SettingsError ? "" : snippet(chosen.id, this.talk.settings, location.origin);
    return html`
      <header class="page-head">
        <h1>Code</h1>
        <span class="quiet wide">The settings of Talk as a program</span>
        <span class="grow"></span>
      </header>
      <div class="body">
        <div class="inner">
          <div class="bar">
            <parley-segmented label="Language" .value=${chosen.id} .choices=${LANGUAGES.map(({ id, label }) => ({ value: id, label }))} @change=${this.choose}></parley-segmented>
            <span class="quiet">${chosen.about}</span>
          </div>
          ${config instanceof SettingsError
            ? html`<p class="card empty">${config.message}</p>`
            : html`<section class="card" aria-label="${chosen.label} program">
                <header><h2 class="grow">${chosen.label}</h2><parley-copy .text=${text}></parley-copy></header>
                <pre class="code" tabindex="0">${highlight(text, chosen.grammar)}</pre>
              </section>`}
          <p class="quiet">
            It says only what differs from the protocol's defaults. Change the settings under
            <a href=${href("talk")} @click=${(event: Event) => (event.preventDefault(), go("talk"))}>Talk</a>; this page follows.
            ${chosen.id === "python" || chosen.id === "javascript" || chosen.id === "curl" ? html`Set <code>PARLEY_API_KEY</code> first.` : ""}
          </p>
        </div>
      </div>
    `;
  }

  private choose(event: Event): void {
    this.language = (event.target as unknown as { value: Language }).value;
    remember("language", this.language);
  }
}
