/** Events on the wire, GA spelling. Everything is optional: what arrives is not ours to trust. */

export interface RealtimeEvent {
  type: string;
  event_id?: string;
  [key: string]: unknown;
}

export interface ContentPart {
  type?: string;
  text?: string | null;
  transcript?: string | null;
  audio?: string | null;
  image_url?: string;
}

export interface Item {
  id?: string;
  type?: string;
  role?: string;
  status?: string;
  content?: ContentPart[];
  name?: string;
  call_id?: string;
  arguments?: string;
  output?: string;
}

export interface Usage {
  total_tokens?: number;
  input_tokens?: number;
  output_tokens?: number;
  input_token_details?: { text_tokens?: number; audio_tokens?: number; cached_tokens?: number; image_tokens?: number };
  output_token_details?: { text_tokens?: number; audio_tokens?: number };
}

export interface ResponseObject {
  id?: string;
  status?: string;
  status_details?: { type?: string; reason?: string; error?: { code?: string; message?: string } } | null;
  output?: Item[];
  conversation_id?: string | null;
  usage?: Usage | null;
}

export const str = (value: unknown): string => (typeof value === "string" ? value : "");
export const num = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
export const itemOf = (event: RealtimeEvent): Item => (event.item ?? {}) as Item;
export const responseOf = (event: RealtimeEvent): ResponseObject => (event.response ?? {}) as ResponseObject;
