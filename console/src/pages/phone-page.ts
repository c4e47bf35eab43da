import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import * as management from "../management.js";
import { clock, count, ms } from "../model/format.js";
import { moment } from "../model/moments.js";
import { credits } from "../model/money.js";
import { go, href } from "../router.js";
import { desk } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { Asked } from "../ui/asked.js";
import { icon } from "../ui/icon.js";
import "../ui/ladder.js";
import "../ui/problem-note.js";

const LOOK_AGAIN_MS = 5_000;
const ANSWERS: Record<management.PhoneNumber["answer"], string> = {
  session: "a stored session",
  webhook: "a webhook of its own",
  settings: "the webhook of all",
};

/** Trunks, numbers, calls and what they said, and what was announced about them. `chosen` is a call. */
@customElement("parley-phone-page")
export class PhonePage extends LitElement {
  static override styles = [
    shared,
    desk,
    css`
      .live {
        display: inline-block;
        width: 8px;
        height: 8px;
        margin-right: 6px;
        border-radius: 4px;
        background: var(--good);
      }
      td.uri {
        max-width: 260px;
        overflow-wrap: anywhere;
      }
      .keys {
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
        padding: 16px;
      }
      .facts {
        display: grid;
        grid-template-columns: max-content minmax(0, 1fr);
        gap: 4px 16px;
        padding: 16px;
        font-size: 13px;
        overflow-wrap: anywhere;
      }
      .facts dt {
        color: var(--quiet);
      }
    `,
  ];

  @property() chosen = "";
  @state() private replayed = "";
  private phone = new Asked<management.Phone>(this);
  private call = new Asked<management.PhoneCallDetail>(this);
  private deliveries = new Asked<management.Deliveries>(this);
  private again = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.refresh();
    this.again = window.setInterval(this.refresh, LOOK_AGAIN_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.again);
  }

  protected override willUpdate(changed: Map<string, unknown>): void {
    if (!changed.has("chosen") || !this.hasUpdated) return;
    this.call.forget();
    this.refresh();
  }

  private refresh = (): void => {
    if (document.hidden) return;
    if (this.chosen) {
      if (!this.call.problem) void this.call.ask(management.phoneCall(this.chosen));
      return;
    }
    void this.phone.ask(management.phone());
    void this.deliveries.ask(management.deliveries());
  };

  override render(): TemplateResult {
    return this.chosen ? this.one() : this.all();
  }

  // ---- everything

  private all(): TemplateResult {
    const { value: phone } = this.phone;
    const ports = Object.entries(phone?.ports ?? {}).map(([transport, port]) => `${transport.toUpperCase()} ${port}`);
    return html`
      <header class="page-head">
        <h1>Phone</h1>
        <span class="quiet wide">${ports.length ? `Calls are taken at ${ports.join(", ")}` : ""}</span>
      </header>
      <div class="body">
        <div class="inner">
          ${[this.phone, this.deliveries].map(({ problem, dismiss }) => (problem ? html`<parley-problem .problem=${problem} @dismiss=${dismiss}></parley-problem>` : nothing))}
          ${phone ? (ports.length ? html`${this.calls(phone.calls)}${phone.trunks.map((trunk) => this.trunk(trunk))}` : this.closed()) : nothing}
          ${this.announced()}
        </div>
      </div>
    `;
  }

  private closed(): TemplateResult {
    return html`<div class="empty">
      <h2>No telephone calls are taken</h2>
      <p>Set <code>PARLEY_SIP_PORT=5060</code> and start Parley again: then call it with any softphone.</p>
    </div>`;
  }

  private calls(calls: management.PhoneCall[]): TemplateResult {
    return html`<section class="card" aria-label="Calls">
      <header><h2>Calls</h2><span class="quiet small">${count(calls.filter((call) => call.ended_at === null).length)} at the moment</span></header>
      <div class="scroll" tabindex="0" role="region" aria-label="Table of calls">
        ${calls.length
          ? html`<table class="stacked">
              <thead>
                <tr><th scope="col">Caller</th><th scope="col">Called</th><th scope="col">Trunk</th><th scope="col">State</th><th scope="col">Began</th><th scope="col" class="right">Lasted</th></tr>
              </thead>
              <tbody>${calls.map((call) => this.callRow(call))}</tbody>
            </table>`
          : html`<p class="note">Nobody has called yet.</p>`}
      </div>
    </section>`;
  }

  private callRow(call: management.PhoneCall): TemplateResult {
    return html`<tr>
      <th scope="row"><a href=${href("phone", call.id)} @click=${(event: MouseEvent) => this.follow(event, call.id)}>${party(call.caller)}</a></th>
      <td class="uri" data-label="Called">${party(call.called)}</td>
      <td data-label="Trunk">${call.trunk}</td>
      <td data-label="State"><span>${call.ended_at === null ? html`<span class="live"></span>` : nothing}${stateOf(call)}</span></td>
      <td data-label="Began">${moment(call.began_at)}</td>
      <td class="right" data-label="Lasted">${lasted(call)}</td>
    </tr>`;
  }

  private trunk(trunk: management.PhoneTrunk): TemplateResult {
    return html`<section class="card" aria-label="Trunk ${trunk.name}">
      <header>
        <h2>${trunk.name}</h2>
        ${trunk.registered === null ? nothing : html`<span class="pill ${trunk.registered ? "good" : "warn"}">${trunk.registered ? "registered" : "not registered"}</span>`}
        <span class="grow"></span>
        <span class="quiet small">${trunk.calls} of ${trunk.calls_max} calls</span>
      </header>
      <dl class="facts">
        <dt>Comes from</dt><dd>${[...trunk.addresses, ...(trunk.password ? ["who knows the password"] : []), ...(trunk.server ? [trunk.server] : [])].join(", ")}</dd>
        <dt>By</dt><dd>${trunk.transports.join(", ").toUpperCase()}; SRTP ${trunk.srtp}; ${trunk.codecs.join(", ")}</dd>
        ${trunk.minute_micro ? html`<dt>A minute</dt><dd>${credits(trunk.minute_micro)} credits</dd>` : nothing}
      </dl>
      <div class="scroll" tabindex="0" role="region" aria-label="Numbers of ${trunk.name}">
        ${trunk.numbers.length
          ? html`<table class="stacked">
              <thead><tr><th scope="col">Number</th><th scope="col">Account</th><th scope="col">Answered by</th><th scope="col">Greets</th></tr></thead>
              <tbody>
                ${trunk.numbers.map(
                  (number) => html`<tr>
                    <th scope="row">${number.number}</th>
                    <td data-label="Account">${number.account}${number.project ? ` · ${number.project}` : ""}</td>
                    <td data-label="Answered by">${ANSWERS[number.answer]}</td>
                    <td data-label="Greets">${number.greeting ? "yes" : "no"}</td>
                  </tr>`,
                )}
              </tbody>
            </table>`
          : html`<p class="note">It has no numbers: nobody is reached.</p>`}
      </div>
    </section>`;
  }

  private announced(): TemplateResult {
    const { value } = this.deliveries;
    if (!value) return html`${nothing}`;
    return html`<section class="card" aria-label="Announcements">
      <header><h2>Announcements</h2><span class="quiet small" role="status">${this.replayed}</span></header>
      <div class="scroll" tabindex="0" role="region" aria-label="Table of announcements">
        ${value.data.length
          ? html`<table class="stacked">
              <thead>
                <tr><th scope="col">Event</th><th scope="col">To</th><th scope="col">State</th><th scope="col">When</th><th scope="col" class="right">Attempts</th><th scope="col"><span class="hidden">Actions</span></th></tr>
              </thead>
              <tbody>${value.data.map((delivery) => this.delivery(delivery))}</tbody>
            </table>`
          : html`<p class="note">Nothing was announced. <code>PARLEY_WEBHOOK_URL</code> says where calls are.</p>`}
      </div>
    </section>`;
  }

  private delivery(delivery: management.Delivery): TemplateResult {
    const tone = { delivered: "good", pending: "accent", failed: "warn" }[delivery.state];
    return html`<tr>
      <th scope="row">${delivery.event}</th>
      <td data-label="To">${delivery.host}</td>
      <td data-label="State"><span><span class="pill ${tone}">${delivery.state}</span> <span class="quiet">${delivery.outcome}</span></span></td>
      <td data-label="When">${moment(delivery.created_at)}</td>
      <td class="right" data-label="Attempts">${delivery.attempts}</td>
      <td class="actions"><button type="button" class="button plain small" aria-label="Announce ${delivery.id} again" @click=${() => this.replay(delivery)}>${icon("refresh-cw")}Again</button></td>
    </tr>`;
  }

  private async replay({ id }: management.Delivery): Promise<void> {
    await this.deliveries.ask(management.replay(id).then(() => management.deliveries()));
    if (!this.deliveries.problem) this.replayed = "It is announced again.";
  }

  // ---- one call

  private one(): TemplateResult {
    const { value: detail, problem } = this.call;
    return html`
      <header class="page-head">
        <a class="button plain icon" href=${href("phone")} aria-label="All calls" @click=${(event: MouseEvent) => this.follow(event, "")}>${icon("chevron-left")}</a>
        <h1>${detail ? party(detail.call.caller) : "Call"}</h1>
        <span class="quiet wide">${detail ? stateOf(detail.call) : ""}</span>
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${() => go("phone")}></parley-problem>` : nothing}
          ${detail ? this.detail(detail) : nothing}
        </div>
      </div>
    `;
  }

  private detail(detail: management.PhoneCallDetail): TemplateResult {
    const { call, heard, spoken } = detail;
    return html`
      <dl class="figures">
        ${figure("Lasted", lasted(call), stateOf(call))}
        ${figure("We hear (MOS)", heard ? heard.mos.toFixed(1) : "–", heard ? sound(heard) : "")}
        ${figure("They hear (MOS)", spoken ? spoken.mos.toFixed(1) : "–", spoken ? sound(spoken) : "They have not said")}
        ${figure("There and back", detail.round_trip_ms === null ? "–" : ms(detail.round_trip_ms), "")}
      </dl>
      <section class="card" aria-label="About this call">
        <dl class="facts">
          <dt>Called</dt><dd>${call.called}</dd>
          <dt>Caller</dt><dd>${call.caller}</dd>
          <dt>Trunk</dt><dd>${call.trunk}, number ${detail.number}, account ${call.account}</dd>
          <dt>From</dt><dd>${detail.peer} over ${detail.transport.toUpperCase()}; ${detail.codec || "no sound"} by ${detail.media_security.toUpperCase()}</dd>
          <dt>Began</dt><dd>${moment(call.began_at)}</dd>
          ${detail.session ? html`<dt>Session</dt><dd><code>${detail.session}</code></dd>` : nothing}
          ${detail.transfer === null ? nothing : html`<dt>Transfer</dt><dd>${detail.transfer}</dd>`}
        </dl>
      </section>
      ${detail.keys.length
        ? html`<section class="card" aria-label="Keys">
            <header><h2>Keys</h2></header>
            <div class="keys">${detail.keys.map(({ key, at }) => html`<kbd title=${moment(at)}>${key}</kbd>`)}</div>
          </section>`
        : nothing}
      <section class="card" aria-label="Messages">
        <header><h2>Messages</h2><span class="quiet small">Keys and passwords are hidden</span></header>
        <parley-ladder .rungs=${detail.ladder}></parley-ladder>
      </section>
    `;
  }

  private follow(event: MouseEvent, call: string): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go("phone", call);
  }
}

const figure = (name: string, value: string, more: string): TemplateResult =>
  html`<div class="card figure"><dt>${name}</dt><dd>${value}</dd><dd>${more}</dd></div>`;

/** `sip:+4930123456@203.0.113.7;user=phone` is the number to people. */
const party = (uri: string): string => /^(?:sips?|tel):([^@;]+)@?/.exec(uri)?.[1] ?? uri;

const stateOf = (call: management.PhoneCall): string => call.reason || call.state;

const lasted = (call: management.PhoneCall): string => clock((call.ended_at ?? Date.now() / 1000) * 1000 - call.began_at * 1000);

const sound = ({ packets, lost, jitter_ms }: management.PhoneQuality): string =>
  `${count(lost)} of ${count(packets + lost)} packets lost, jitter ${ms(jitter_ms)}`;
