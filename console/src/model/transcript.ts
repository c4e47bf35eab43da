/** What both sides said, as it becomes known. Told of every event like `TurnBook`. */

import { itemOf, responseOf, str, type Item, type RealtimeEvent } from "./events.js";

export interface Piece {
  text: string;
  /** Position in the item's audio at which it begins, ms; unknown for what the user said. */
  atMs?: number;
}

export interface ToolCall {
  callId: string;
  name: string;
  args: string;
  answer?: string;
  /** Answered by the script. */
  scripted?: boolean;
}

export interface Message {
  id: string;
  role: "user" | "assistant" | "tool" | "note";
  pieces: Piece[];
  state: "listening" | "working" | "open" | "done" | "interrupted" | "failed";
  at: number;
  /** Audio that came so far, ms. */
  audioMs: number;
  /** Heard by the user, ms. */
  playedMs: number;
  spoken: boolean;
  /** More of its sound may come. */
  coming?: boolean;
  image?: string;
  tool?: ToolCall;
}

export const textOf = (message: Message): string => message.pieces.map((piece) => piece.text).join("");

const BYTES_PER_MS = 48;

export class Transcript {
  messages: Message[] = [];
  /** Characters in a millisecond of speech, for sound that has not come yet or cannot be measured (WebRTC). */
  pace = 0.0155;
  private byId = new Map<string, Message>();

  get(id: string): Message | undefined {
    return this.byId.get(id);
  }

  server(event: RealtimeEvent, at: number): void {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        this.add(str(event.item_id), "user", at, { state: "listening", spoken: true });
        return;
      case "input_audio_buffer.speech_stopped":
        return this.change(str(event.item_id), (message) => (message.state = "working"));
      case "input_audio_buffer.committed":
        this.add(str(event.item_id), "user", at, { state: "working", spoken: true }).state = "working";
        return;
      case "conversation.item.input_audio_transcription.delta":
        return this.change(str(event.item_id), (message) => message.pieces.push({ text: str(event.delta) }));
      case "conversation.item.input_audio_transcription.completed":
        return this.change(str(event.item_id), (message) => {
          message.pieces = [{ text: str(event.transcript).trim() }];
          message.state = "done";
        });
      case "conversation.item.input_audio_transcription.failed":
        return this.change(str(event.item_id), (message) => (message.state = "failed"));
      case "conversation.item.added":
        return this.itemAdded(itemOf(event), at);
      case "response.output_audio.delta":
        return this.change(str(event.item_id), (message) => {
          message.spoken = message.coming = true;
          message.audioMs += (str(event.delta).length * 3) / 4 / BYTES_PER_MS;
        });
      case "response.output_audio_transcript.delta":
        return this.change(str(event.item_id), (message) => {
          message.spoken = true;
          message.pieces.push({ text: str(event.delta), atMs: message.audioMs });
        });
      case "response.output_audio.done":
        return this.change(str(event.item_id), (message) => (message.coming = false));
      case "response.output_text.delta":
        return this.change(str(event.item_id), (message) => message.pieces.push({ text: str(event.delta) }));
      case "response.output_item.done":
        return this.itemDone(itemOf(event));
      case "conversation.item.truncated":
        return this.change(str(event.item_id), (message) => {
          message.state = "interrupted";
          message.playedMs = Number(event.audio_end_ms) || message.playedMs;
        });
      case "conversation.item.deleted":
        return this.remove(str(event.item_id));
      case "response.done": {
        const error = responseOf(event).status_details?.error;
        if (responseOf(event).status === "failed")
          this.add(`note_${str(event.event_id)}`, "note", at, {
            state: "failed",
            pieces: [{ text: error?.message ?? error?.code ?? "The response failed." }],
          });
      }
    }
  }

  playing(id: string, playedMs: number): void {
    this.change(id, (message) => (message.playedMs = Math.max(message.playedMs, playedMs)));
  }

  /** All of it was heard. */
  played(id: string): void {
    this.change(id, (message) => {
      if (!message.playedMs) return;
      message.audioMs ||= message.playedMs;
      message.playedMs = Math.max(message.playedMs, message.audioMs);
      this.pace = textOf(message).length / message.audioMs;
    });
  }

  cut(id: string, playedMs: number): void {
    this.change(id, (message) => {
      message.playedMs = playedMs;
      message.state = "interrupted";
    });
  }

  answered(callId: string, answer: string, scripted: boolean): void {
    for (const message of this.messages)
      if (message.tool?.callId === callId) message.tool = { ...message.tool, answer, scripted };
  }

  note(text: string, at: number): void {
    this.add(`note_${this.messages.length}_${at}`, "note", at, { pieces: [{ text }], state: "done" });
  }

  /** The call is over. */
  close(): void {
    for (const message of this.messages) {
      message.coming = false;
      if (message.state !== "done" && message.state !== "failed") message.state = message.role === "assistant" ? "interrupted" : "done";
    }
  }

  /** Takes out what was said but not understood yet; when the first of it began, if there was any. */
  forget(): number | undefined {
    const lost = this.messages.filter(({ state }) => state === "listening" || state === "working");
    for (const { id } of lost) this.remove(id);
    return lost.length ? Math.min(...lost.map(({ at }) => at)) : undefined;
  }

  /** Finished messages as items for a new session: what was heard, in words. */
  history(): Item[] {
    return this.messages.flatMap((message): Item[] => {
      const { role, state, tool, image } = message;
      if (tool) return toolItems(tool);
      if (role !== "user" && role !== "assistant") return [];
      const text = (state === "interrupted" ? textOf(message).slice(0, heardChars(message, this.pace)) : textOf(message)).trim();
      const content = [
        ...(image ? [{ type: "input_image", image_url: image }] : []),
        ...(text ? [{ type: role === "user" ? "input_text" : "output_text", text }] : []),
      ];
      return content.length ? [{ type: "message", role, content }] : [];
    });
  }

  // ---- inside

  private itemAdded(item: Item, at: number): void {
    const id = str(item.id);
    if (item.type === "function_call")
      this.add(id, "tool", at, { tool: { callId: str(item.call_id), name: str(item.name), args: str(item.arguments) }, state: "open" });
    else if (item.type === "message" && item.role === "assistant") this.add(id, "assistant", at, { state: "open" });
    else if (item.type === "message" && item.role === "user") {
      const content = item.content ?? [];
      if (content.some((part) => part.type === "input_audio")) return void this.add(id, "user", at, { state: "working", spoken: true });
      const image = content.find((part) => part.type === "input_image")?.image_url;
      const text = content.map((part) => part.text ?? "").join(" ").trim();
      this.add(id, "user", at, { state: "done", pieces: text ? [{ text }] : [], image });
    }
  }

  private itemDone(item: Item): void {
    this.change(str(item.id), (message) => {
      if (message.tool) message.tool = { ...message.tool, args: str(item.arguments), name: str(item.name) || message.tool.name };
      if (message.state === "open") message.state = item.status === "incomplete" ? "interrupted" : "done";
    });
  }

  private add(id: string, role: Message["role"], at: number, more: Partial<Message>): Message {
    const known = this.byId.get(id);
    if (known) return known;
    const message: Message = { id, role, at, pieces: [], state: "done", audioMs: 0, playedMs: 0, spoken: false, ...more };
    this.byId.set(id, message);
    this.messages.push(message);
    return message;
  }

  private change(id: string, how: (message: Message) => unknown): void {
    const message = this.byId.get(id);
    if (message) how(message);
  }

  private remove(id: string): void {
    this.byId.delete(id);
    this.messages = this.messages.filter((message) => message.id !== id);
  }
}

function toolItems({ callId, name, args, answer }: ToolCall): Item[] {
  const call: Item = { type: "function_call", call_id: callId, name, arguments: args };
  return answer === undefined ? [call] : [call, { type: "function_call_output", call_id: callId, output: answer }];
}

/** A spoken answer, parted at the word that is being heard: `now` is empty before, after, and between two words. */
export interface Spoken {
  before: string;
  now: string;
  after: string;
}

/** See `heardChars` for how exact it is. */
export function spokenParts(message: Message, pace = 0): Spoken {
  const text = textOf(message);
  const heard = heardChars(message, pace);
  const end = wordEnd(text, heard);
  const over = message.state === "interrupted" || heard === 0 || heard >= text.length;
  const start = over ? end : text.slice(0, heard).search(/\S*$/);
  return { before: text.slice(0, start), now: text.slice(start, end), after: text.slice(end) };
}

/** The end of the word at a position, so that no word is cut. */
function wordEnd(text: string, at: number): number {
  if (at <= 0) return 0;
  const next = text.slice(at).search(/\s/);
  return next < 0 ? text.length : at + next;
}

/**
 * How many characters of a spoken answer have been heard. The words of a piece are spread evenly between the position at
 * which it was announced and that of the next piece, so this is an estimate, good to about a word. Until all sound of the
 * last piece has come, and where it comes another way (WebRTC), its length is unknown: `pace` (characters per ms) must do.
 */
export function heardChars(message: Message, pace = 0): number {
  const all = textOf(message).length;
  if (!message.spoken) return all;
  if (!message.audioMs && pace) return Math.min(all, Math.round(message.playedMs * pace));
  const { pieces, playedMs, audioMs, coming } = message;
  let heard = 0;
  for (let index = 0; index < pieces.length; index++) {
    const { atMs = 0 } = pieces[index]!;
    let next = index + 1;
    while (next < pieces.length && (pieces[next]!.atMs ?? 0) <= atMs) next++;
    // Pieces announced at the same position share what follows.
    const group = pieces.slice(index, next).map((piece) => piece.text).join("");
    const expected = coming && pace ? atMs + group.length / pace : atMs;
    const end = next < pieces.length ? pieces[next]!.atMs! : Math.max(audioMs, expected);
    const share = end > atMs ? (playedMs - atMs) / (end - atMs) : playedMs >= atMs && playedMs > 0 ? 1 : 0;
    if (share < 1) return heard + Math.round(Math.max(0, share) * group.length);
    heard += group.length;
    index = next - 1;
  }
  return heard;
}
