import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { count, ms } from "../model/format.js";
import { credits } from "../model/money.js";
import { moment } from "../model/moments.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { Asked, sentence } from "../ui/asked.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";

type Health = { glyph: string; tone: string; label: string };
const HEALTH: Record<management.Upstream["state"], Health> = {
  closed: { glyph: "circle-check", tone: "good", label: "in use" },
  open: { glyph: "circle-x", tone: "bad", label: "left alone" },
  probing: { glyph: "loader-circle", tone: "warn", label: "being tried" },
};
const POLICIES: Record<management.RoutePart["policy"], string> = {
  order: "in this order",
  weights: "by weight",
  price: "cheapest first",
  latency: "fastest first",
};
const REFRESH_MS = 10_000;

/** Why a test said nothing of the upstream at all. */
type Tried = management.Trial | { problem: string } | "running";

/** Other Realtime servers that answer in this one's place: how they do, what they cost. They are set in the settings. */
@customElement("parley-upstreams-page")
export class UpstreamsPage extends LitElement {
  static override styles = [
    shared,
    desk,
    fields,
    css`
      .what {
        flex: 1;
        min-width: 200px;
        overflow-wrap: anywhere;
      }
      .facts {
        display: flex;
        flex-wrap: wrap;
        gap: 16px 40px;
        padding: 16px;
      }
      .facts dt {
        color: var(--quiet);
        font-size: 12px;
      }
      .facts dd {
        margin: 0;
        font-weight: 500;
        font-variant-numeric: tabular-nums;
      }
      .tried {
        margin: 0;
        padding: 12px 16px;
        border-top: 1px solid var(--line);
      }
    `,
  ];

  @property({ attribute: false }) about!: About;
  @state() private tried: Readonly<Record<string, Tried>> = {};
  private upstreams = new Asked<management.Upstreams>(this);
  private timer: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    if (!this.admin) return;
    this.refresh();
    this.timer = setInterval(this.refresh, REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  private refresh = (): void => void this.upstreams.ask(management.upstreams());

  private get admin(): boolean {
    return this.about.user.role === "admin";
  }

  override render(): TemplateResult {
    const { value, problem } = this.upstreams;
    return html`
      <header class="page-head">
        <h1>Upstreams</h1>
        <span class="quiet wide">Who answers models in this server’s place</span>
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.upstreams.dismiss}></parley-problem>` : nothing}
          ${!this.admin ? html`<div class="empty"><h2>For admins</h2><p>They see here who answers which model.</p></div>` : value ? this.list(value) : nothing}
        </div>
      </div>
    `;
  }

  private list({ data, fallback }: management.Upstreams): TemplateResult {
    if (!data.length)
      return html`<div class="empty"><h2>This server answers everything itself</h2><p>Set <code>PARLEY_UPSTREAM_URL</code>, or <code>[[upstream]]</code> in the settings file, and start again.</p></div>`;
    return html`
      <p class="quiet">They are set in the settings of the server. Money is of the last 30 days.${fallback.turns ? ` ${count(fallback.turns)} turns were answered here because no upstream could be reached, for ${credits(fallback.charged_micro)} credits.` : ""}</p>
      ${data.map((upstream) => this.card(upstream))}
    `;
  }

  private card(upstream: management.Upstream): TemplateResult {
    const { glyph, tone, label } = HEALTH[upstream.state];
    const tried = this.tried[upstream.name];
    return html`<section class="card" aria-label=${upstream.name}>
      <header>
        <div class="what"><h2>${upstream.name}</h2><span class="quiet small">${upstream.kind} · ${upstream.dialect} · ${upstream.url}${upstream.has_key ? "" : " · no key"}</span></div>
        <span class="pill ${tone}">${icon(glyph)}${label}</span>
        <button type="button" class="button" ?disabled=${tried === "running"} aria-label="Test ${upstream.name}" title="A real question, at the price of an answer" @click=${() => this.test(upstream.name)}>${icon("play")}Test</button>
      </header>
      ${facts(upstream)} ${upstream.routes.length ? routes(upstream) : html`<p class="note">No model is answered there.</p>`}
      <div role="status">${tried ? outcome(tried) : nothing}</div>
    </section>`;
  }

  private async test(name: string): Promise<void> {
    this.tried = { ...this.tried, [name]: "running" };
    const tried = await management.testUpstream(name).catch((error: unknown) => ({ problem: sentence(error) }));
    this.tried = { ...this.tried, [name]: tried };
    this.refresh();
  }
}

function facts({ state, open_until, failure, failed_at, opens_ms, turns, charged_micro, cost_micro }: management.Upstream): TemplateResult {
  const margin = cost_micro === null ? undefined : charged_micro - cost_micro;
  const listed: [string, string][] = [
    ["Opens in", opens_ms === null ? "–" : ms(opens_ms)],
    ["Turns", count(turns)],
    ["Charged", credits(charged_micro)],
    ["Its price", cost_micro === null ? "–" : credits(cost_micro)],
    ["Margin", margin === undefined ? "–" : credits(margin)],
    ["Last failure", failure && failed_at !== null ? `${failure}, ${moment(failed_at)}` : "none"],
  ];
  if (state !== "closed" && open_until !== null) listed.push(["Tried again", moment(open_until)]);
  return html`<dl class="facts">${listed.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function routes({ name, routes }: management.Upstream): TemplateResult {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Models of ${name}">
    <table class="stacked">
      <thead>
        <tr><th scope="col">Model</th><th scope="col">Its name there</th><th scope="col" class="right">Place</th><th scope="col">Chosen</th><th scope="col" class="right">Weight</th><th scope="col" class="right">Opens in</th><th scope="col">Last resort</th></tr>
      </thead>
      <tbody>
        ${routes.map(
          (part) => html`<tr>
            <th scope="row">${part.model === "*" ? html`every other` : part.model}</th>
            <td data-label="Its name there">${part.model_there || "the same"}</td>
            <td class="right" data-label="Place">${part.position}</td>
            <td data-label="Chosen">${POLICIES[part.policy]}</td>
            <td class="right" data-label="Weight">${part.policy === "weights" ? part.weight : "–"}</td>
            <td class="right" data-label="Opens in">${part.opens_ms === null ? "–" : ms(part.opens_ms)}</td>
            <td data-label="Last resort">${part.local ? "this server" : "none"}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function outcome(tried: Tried): TemplateResult {
  if (tried === "running") return html`<p class="tried quiet">It is being asked…</p>`;
  if ("problem" in tried) return html`<p class="tried">${tried.problem}</p>`;
  if (!tried.ok) return html`<p class="tried"><span class="pill bad">${tried.code}</span> ${tried.message}</p>`;
  const times = `open ${ms(tried.opened_ms ?? 0)}, first words ${ms(tried.first_ms ?? 0)}, all ${ms(tried.done_ms ?? 0)}`;
  return html`<p class="tried"><span class="pill good">${tried.model}</span> “${tried.answer}” <span class="quiet small">${times}</span></p>`;
}
