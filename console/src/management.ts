/** The management API (`management.json`): keys, credits, usage, limits, prices, people. */

import { answer as answered, client } from "./api.js";
import type { components } from "./management-schema.js";

type Schemas = components["schemas"];
export type Key = Schemas["KeyShown"];
export type KeyRules = Schemas["KeyRules"];
export type NewKey = Schemas["NewKey"];
export type MadeKey = Schemas["MadeKey"];
export type Scope = NonNullable<KeyRules["scopes"]>[number];
export type Credits = Schemas["Credits"];
export type Line = Schemas["LineShown"];
export type Lines = Schemas["Lines"];
export type TopUp = Schemas["TopUp"];
export type Used = Schemas["UsedShown"];
export type Usage = Schemas["Usage"];
export type Price = Schemas["PriceShown"];
export type NewPrice = Schemas["NewPrice"];
export type Upstreams = Schemas["UpstreamsShown"];
export type Upstream = Schemas["UpstreamShown"];
export type RoutePart = Schemas["RoutePart"];
export type Trial = Schemas["TrialShown"];
export type Limit = Schemas["LimitShown"];
export type AccountLimits = Schemas["AccountLimits"];
export type Person = Schemas["Person"];
export type NewPerson = Schemas["NewPerson"];
export type Me = Schemas["Me"];
export type SignIn = Schemas["SignIn"];
export type Link = Schemas["Link"];
export type Phone = Schemas["Phone"];
export type PhoneTrunk = Schemas["TrunkShown"];
export type PhoneNumber = Schemas["NumberShown"];
export type PhoneCall = Schemas["CallShown"];
export type PhoneCallDetail = Schemas["CallDetail"];
export type PhoneQuality = Schemas["QualityShown"];
export type PhoneRung = Schemas["Rung"];
export type Deliveries = Schemas["Deliveries"];
export type Delivery = Schemas["DeliveryShown"];

const answer = <T>(request: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> => answered(request, "not_done");

/** Whose things: an admin may name an account; otherwise one's own. */
const whose = (account: string): { account?: string } => (account ? { account } : {});

// ---- keys

export const keys = async (account: string): Promise<Key[]> =>
  (await answer(client.GET("/api/keys", { params: { query: whose(account) } }))).data;

export const createKey = (account: string, key: NewKey): Promise<MadeKey> =>
  answer(client.POST("/api/keys", { params: { query: whose(account) }, body: key }));

export const changeKey = (account: string, id: string, rules: KeyRules): Promise<Key> =>
  answer(client.PUT("/api/keys/{key_id}/rules", { params: { path: { key_id: id }, query: whose(account) }, body: rules }));

/** `once` makes asking twice the same as asking once. */
export const addBudget = (account: string, id: string, micro: number, once: string): Promise<Key> =>
  answer(client.POST("/api/keys/{key_id}/budget", { params: { path: { key_id: id }, query: whose(account) }, body: { micro, id: once } }));

export const revokeKey = (account: string, id: string): Promise<unknown> =>
  answer(client.DELETE("/api/keys/{key_id}", { params: { path: { key_id: id }, query: whose(account) } }));

// ---- money

export const credits = (account: string): Promise<Credits> =>
  answer(client.GET("/api/credits", { params: { query: whose(account) } }));

export const lines = (account: string, before?: string): Promise<Lines> =>
  answer(client.GET("/api/credits/lines", { params: { query: { ...whose(account), ...(before ? { before } : {}) } } }));

export const topUp = (account: string, what: TopUp): Promise<Credits> =>
  answer(client.POST("/api/credits", { params: { query: whose(account) }, body: what }));

/** Days as 2026-12-31, both included. */
export const usage = (account: string, since: string, until: string): Promise<Usage> =>
  answer(client.GET("/api/usage", { params: { query: { ...whose(account), since, until } } }));

export const usageCsvUrl = (account: string, since: string, until: string): string =>
  `/api/usage.csv?${new URLSearchParams({ ...(account ? { account } : {}), since, until })}`;

export const prices = async (): Promise<Price[]> => (await answer(client.GET("/api/prices"))).data;

export const setPrice = (model: string, price: NewPrice): Promise<Price> =>
  answer(client.PUT("/api/prices/{model}", { params: { path: { model } }, body: price }));

// ---- upstreams

export const upstreams = (): Promise<Upstreams> => answer(client.GET("/api/upstreams"));

/** A real question, which costs what an answer costs. */
export const testUpstream = (name: string): Promise<Trial> =>
  answer(client.POST("/api/upstreams/{name}/test", { params: { path: { name } }, body: {} }));

// ---- limits

export const limits = async (account: string): Promise<Limit[]> =>
  (await answer(client.GET("/api/limits", { params: { query: whose(account) } }))).data;

/** What is left out is as the settings say for all accounts; null lifts a limit. */
export const setLimits = (account: string, limits: AccountLimits): Promise<unknown> =>
  answer(client.PUT("/api/accounts/{account_id}/limits", { params: { path: { account_id: account } }, body: limits }));

// ---- telephone

export const phone = (): Promise<Phone> => answer(client.GET("/api/phone"));

export const phoneCall = (id: string): Promise<PhoneCallDetail> =>
  answer(client.GET("/api/phone/calls/{call_id}", { params: { path: { call_id: id } } }));

export const deliveries = (): Promise<Deliveries> => answer(client.GET("/api/webhooks"));

/** Announces it again, under the same id. */
export const replay = (id: string): Promise<unknown> =>
  answer(client.POST("/api/webhooks/{webhook_id}/replay", { params: { path: { webhook_id: id } } }));

// ---- people

export const me = (): Promise<Me> => answer(client.GET("/api/me"));
export const setPassword = (password: string): Promise<unknown> => answer(client.PUT("/api/me/password", { body: { password } }));
export const signIns = async (): Promise<SignIn[]> => (await answer(client.GET("/api/me/sign-ins"))).data;

export const endSignIn = (id: string): Promise<unknown> =>
  answer(client.DELETE("/api/me/sign-ins/{sign_in_id}", { params: { path: { sign_in_id: id } } }));

export const users = async (): Promise<Person[]> => (await answer(client.GET("/api/users"))).data;
export const createUser = (person: NewPerson): Promise<Schemas["NewlyMade"]> => answer(client.POST("/api/users", { body: person }));

export const changeUser = (id: string, change: Schemas["PersonChange"]): Promise<Person> =>
  answer(client.PATCH("/api/users/{user_id}", { params: { path: { user_id: id } }, body: change }));

export const newLink = (id: string): Promise<Link> =>
  answer(client.POST("/api/users/{user_id}/link", { params: { path: { user_id: id } } }));

/** Where a link's token signs in, once. It stands in the fragment, which browsers send to nobody. */
export const linkUrl = ({ token }: Link): string => `${location.origin}/console/#sign-in=${token}`;
