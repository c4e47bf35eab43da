import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { date } from "../model/moments.js";
import { go, href, type Page } from "../router.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { Asked } from "../ui/asked.js";
import "../ui/form-dialog.js";
import { text } from "../ui/form-fields.js";
import { icon } from "../ui/icon.js";
import "../ui/once.js";
import "../ui/problem-note.js";

type Dialog = { kind: "create" } | { kind: "change" | "link"; person: management.Person };

/** For admins: who may come in. */
@customElement("parley-users-page")
export class UsersPage extends LitElement {
  static override styles = [shared, desk, fields];

  @property({ attribute: false }) about!: About;
  @state() private search = "";
  @state() private dialog: Dialog | undefined;
  @state() private link: { email: string; url: string; hours: number } | undefined;
  private people = new Asked<management.Person[]>(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.refresh();
  }

  private refresh = (): void => void this.people.ask(management.users());

  override render(): TemplateResult {
    const { value: people, problem } = this.people;
    const wanted = this.search.trim().toLowerCase();
    const found = (people ?? []).filter(({ email, name }) => `${email} ${name}`.toLowerCase().includes(wanted));
    return html`
      <header class="page-head">
        <h1>Users</h1>
        <span class="quiet wide">Who may come in, and what they may do</span>
        <span class="grow"></span>
        <button type="button" class="button primary" @click=${() => (this.dialog = { kind: "create" })}>${icon("user-plus")}New user</button>
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.people.dismiss}></parley-problem>` : nothing}
          <div class="bar">
            <input class="control" type="search" placeholder="Search for somebody" aria-label="Search for somebody" .value=${this.search} @input=${(event: Event) => (this.search = (event.target as HTMLInputElement).value)} />
            <span class="quiet small" role="status">${people ? `${found.length} of ${people.length}` : ""}</span>
          </div>
          ${people ? (found.length ? this.table(found) : html`<div class="empty"><h2>Nobody is called “${this.search}”</h2></div>`) : nothing}
          ${people?.length === 1 ? html`<p class="quiet">So far there is only you. Somebody new gets an account of their own, or shares one; you hand them a link that signs them in once.</p>` : nothing}
        </div>
      </div>
      ${this.dialogs()}
      <parley-once label="A sign-in link for ${this.link?.email ?? ""}" .value=${this.link?.url ?? ""} @closed=${() => (this.link = undefined)}>
        <p>Hand it over by a way that only they read. It signs in whoever opens it first, once, within ${this.link?.hours} hours. Then they can choose a password under Account.</p>
      </parley-once>
    `;
  }

  private table(people: management.Person[]): TemplateResult {
    return html`<section class="card" aria-label="Users">
      <div class="scroll" tabindex="0" role="region" aria-label="Table of users">
        <table class="stacked">
          <thead>
            <tr><th scope="col">E-mail</th><th scope="col">Name</th><th scope="col">Role</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Account</th><th scope="col"><span class="hidden">Actions</span></th></tr>
          </thead>
          <tbody>${people.map((person) => this.row(person))}</tbody>
        </table>
      </div>
    </section>`;
  }

  private row(person: management.Person): TemplateResult {
    const { email, account, role, disabled_at } = person;
    return html`<tr class=${disabled_at ? "off" : ""}>
      <th scope="row">${email}</th>
      <td data-label="Name">${person.name}</td>
      <td data-label="Role"><span class="pill ${role === "admin" ? "accent" : ""}">${role}</span></td>
      <td data-label="State"><span class="pill ${disabled_at ? "bad" : "good"}">${disabled_at ? "disabled" : "active"}</span></td>
      <td class="still" data-label="Since">${date(person.created_at)}</td>
      <td class="still" data-label="Account"><span>${this.to("credits", "Credits", account)} · ${this.to("usage", "Usage", account)} · ${this.to("api-keys", "Keys", account)} · ${this.to("limits", "Limits", account)}</span></td>
      <td class="actions">
        ${disabled_at ? nothing : html`<button type="button" class="button plain icon small" aria-label="Sign-in link for ${email}" title="A one-time sign-in link" @click=${() => (this.dialog = { kind: "link", person })}>${icon("link")}</button>`}
        <button type="button" class="button plain icon small" aria-label="Change ${email}" title="Role and state" @click=${() => (this.dialog = { kind: "change", person })}>${icon("pencil")}</button>
      </td>
    </tr>`;
  }

  private to(page: Page, label: string, account: string): TemplateResult {
    const rest = account === this.about.account ? "" : account;
    return html`<a href=${href(page, rest)} @click=${(event: MouseEvent) => (event.preventDefault(), go(page, rest))}>${label}</a>`;
  }

  private dialogs(): TemplateResult {
    const { dialog } = this;
    const close = () => (this.dialog = undefined);
    switch (dialog?.kind) {
      case undefined:
        return html`${nothing}`;
      case "create":
        return html`<parley-form-dialog label="New user" action="Let them in" open .fields=${newPersonFields(this.people.value ?? [])} .submit=${this.create} @closed=${close}></parley-form-dialog>`;
      case "change":
        return html`<parley-form-dialog label=${dialog.person.email} open .fields=${personFields(dialog.person, dialog.person.id === this.about.user.id)} .submit=${this.change(dialog.person)} @closed=${close}></parley-form-dialog>`;
      case "link":
        return html`<parley-form-dialog label="A new sign-in link?" action="Make the link" open .fields=${html`<p>For ${dialog.person.email}. It signs in once, without a password.</p>`} .submit=${this.newLink(dialog.person)} @closed=${close}></parley-form-dialog>`;
    }
  }

  private create = async (data: FormData): Promise<void> => {
    const { user, link } = await management.createUser({
      email: text(data, "email"),
      name: text(data, "name"),
      role: text(data, "role") as management.Person["role"],
      account: text(data, "account") || null,
    });
    this.refresh();
    this.show(user, link);
  };

  private change = (person: management.Person) => async (data: FormData): Promise<void> => {
    const role = text(data, "role") as management.Person["role"];
    const disabled = data.has("disabled");
    await management.changeUser(person.id, {
      ...(role !== person.role ? { role } : {}),
      ...(disabled !== (person.disabled_at !== null) ? { disabled } : {}),
    });
    this.refresh();
  };

  private newLink = (person: management.Person) => async (): Promise<void> => this.show(person, await management.newLink(person.id));

  private show({ email }: management.Person, link: management.Link): void {
    this.link = { email, url: management.linkUrl(link), hours: Math.floor(link.expires_in / 3600) };
  }
}

const role = (chosen: string): TemplateResult => html`<label class="field">Role
  <select class="control" name="role">
    <option value="user" ?selected=${chosen === "user"}>user: their own account</option>
    <option value="admin" ?selected=${chosen === "admin"}>admin: everything</option>
  </select>
</label>`;

function newPersonFields(people: readonly management.Person[]): TemplateResult {
  const accounts = new Map(people.toReversed().map(({ account, email }) => [account, email]));
  return html`
    <label class="field">E-mail<input class="control" name="email" type="email" required autofocus autocomplete="off" /></label>
    <label class="field">Name<input class="control" name="name" maxlength="200" autocomplete="off" /></label>
    <div class="two">
      ${role("user")}
      <label class="field">Credits
        <select class="control" name="account">
          <option value="">an account of their own</option>
          ${[...accounts].map(([account, email]) => html`<option value=${account}>shared with ${email}</option>`)}
        </select>
      </label>
    </div>
    <p class="quiet">They sign in by a link that you get to see next.</p>
  `;
}

const personFields = (person: management.Person, self: boolean): TemplateResult => html`
  ${role(person.role)}
  <label class="check"><input type="checkbox" name="disabled" ?checked=${person.disabled_at !== null} />Disabled: sign-ins end, keys are refused, what runs is ended; credits stay</label>
  ${self ? html`<p class="refusal">This is you. Whoever takes away their own rights cannot give them back.</p>` : nothing}
`;
