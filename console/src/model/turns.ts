/**
 * Turns as a picture: nine stamps each, and segments that add up.
 *
 * `TurnBook` is told of every event with the time at which the page saw it (ms), and of what the loudspeaker does. Speech
 * is timed by the sound itself: the server says at which position of the audio it began and ended, and `Clock` knows when
 * the page captured that position. So "speech stop" is the last voiced moment, not the moment somebody noticed.
 */

import { itemOf, num, responseOf, str, type RealtimeEvent, type Usage } from "./events.js";

export interface Stamps {
  speechStart?: number;
  speechStop?: number;
  committed?: number;
  transcript?: number;
  responseCreated?: number;
  toolStart?: number;
  toolEnd?: number;
  firstSent?: number;
  firstPlayed?: number;
  /** The last sound was heard, or there was no sound and the response is done. */
  done?: number;
  interrupted?: number;
  /** All of it was generated; no segment of its own. */
  generated?: number;
}

export type Stage = "speech" | "wait" | "transcribe" | "dispatch" | "think" | "tool" | "respond" | "deliver" | "speak";

export interface Segment {
  stage: Stage;
  start: number;
  end: number;
}

export interface ToolSpan {
  callId: string;
  name: string;
  start: number;
  end?: number;
}

export interface Turn {
  n: number;
  kind: "speech" | "text" | "push";
  itemId?: string;
  responseIds: string[];
  answerItemId?: string;
  stamps: Stamps;
  tools: ToolSpan[];
  userText: string;
  answerText: string;
  status: "open" | "completed" | "interrupted" | "cancelled" | "failed" | "incomplete" | "skipped";
  error?: string;
  /** Of the answer's audio, when it was cut. */
  interruptedAtMs?: number;
  usage: Usage;
  /** What the server measured of the same turn, ms: without the network between. */
  server?: Partial<Record<ServerFigure, number>>;
}

export const SERVER_FIGURES = {
  end_of_turn_ms: "End of turn",
  transcription_ms: "Transcription",
  first_audio_ms: "First sound after the response began",
  voice_to_voice_ms: "Voice to voice",
} as const;
export type ServerFigure = keyof typeof SERVER_FIGURES;

/** When the page captured a position of the audio that it sent. */
export type Clock = (audioMs: number) => number | undefined;

export interface Detection {
  prefixMs: number;
  silenceMs: number;
}

export class TurnBook {
  turns: Turn[] = [];
  clock: Clock = () => undefined;
  detection: Detection = { prefixMs: 0, silenceMs: 0 };
  private byItem = new Map<string, Turn>();
  private byResponse = new Map<string, Turn>();
  private byAnswer = new Map<string, Turn>();
  private byCall = new Map<string, Turn>();
  /** Position in the audio at which a turn's speech began. */
  private speechFrom = new Map<Turn, number>();
  private continuing: Turn | undefined;
  private asked: Turn | undefined;

  get last(): Turn | undefined {
    return this.turns.at(-1);
  }

  /** Push to talk: the button went down and up. */
  pressed(start: number, stop: number): void {
    const turn = this.begin("push", start);
    turn.stamps.speechStop = stop;
    this.asked = turn;
  }

  client(event: RealtimeEvent, at: number): void {
    if (event.type === "conversation.item.create") {
      const item = itemOf(event);
      if (item.type === "function_call_output") this.toolEnded(str(item.call_id), at);
      else if (item.role === "user" && !this.asked) {
        this.asked = this.begin("text", at);
        this.asked.stamps.speechStop = at;
        this.asked.userText = (item.content ?? []).map((part) => part.text ?? "").join(" ").trim();
      }
    } else if (event.type === "response.create" && !this.asked && !this.continuing) {
      this.asked = this.begin("text", at);
      this.asked.stamps.speechStop = at;
    }
  }

  server(event: RealtimeEvent, at: number): void {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        return this.speechStarted(str(event.item_id), num(event.audio_start_ms), at);
      case "input_audio_buffer.speech_stopped":
        return this.speechStopped(str(event.item_id), num(event.audio_end_ms), at);
      case "input_audio_buffer.committed":
        return this.committed(str(event.item_id), at);
      case "conversation.item.input_audio_transcription.completed":
        return this.transcribed(str(event.item_id), str(event.transcript), at);
      case "response.created":
        return this.responseCreated(str(responseOf(event).id), at);
      case "response.output_item.added":
        if (itemOf(event).type === "message") this.answerAdded(str(event.response_id), str(itemOf(event).id));
        return;
      case "response.output_audio.delta":
      case "output_audio_buffer.started":
        return this.sent(str(event.response_id), at);
      case "response.output_text.delta":
        this.sent(str(event.response_id), at);
        return this.said(str(event.response_id), str(event.delta));
      case "response.output_audio_transcript.delta":
        return this.said(str(event.response_id), str(event.delta));
      case "response.function_call_arguments.done":
        return this.toolCalled(str(event.response_id), str(event.call_id), str(event.name), at);
      case "conversation.item.truncated": {
        // Over WebRTC the server knows better than we what was played.
        const turn = this.byAnswer.get(str(event.item_id));
        if (turn?.interruptedAtMs !== undefined) turn.interruptedAtMs = num(event.audio_end_ms) ?? turn.interruptedAtMs;
        return;
      }
      case "response.done":
        return this.responseDone(event, at);
    }
  }

  /** The first sound of an item left the loudspeaker. */
  playing(itemId: string, at: number): void {
    const turn = this.byAnswer.get(itemId);
    if (turn) turn.stamps.firstPlayed ??= at;
  }

  /** The last sound of an item left the loudspeaker. */
  played(itemId: string, at: number): void {
    const turn = this.byAnswer.get(itemId);
    if (turn && turn.stamps.generated !== undefined && turn.status === "open") this.end(turn, "completed", at);
  }

  /** The loudspeaker was silenced after `playedMs` of an item. */
  cut(itemId: string, playedMs: number, at: number): void {
    const turn = this.byAnswer.get(itemId);
    if (!turn || isOver(turn)) return;
    turn.interruptedAtMs = playedMs;
    turn.stamps.interrupted = at;
    this.end(turn, "interrupted", at);
  }

  /** Figures of a response, as the server keeps them; true if the turn is known and did not have them yet. */
  measured(responseId: string, figures: Record<string, unknown>): boolean {
    const turn = this.byResponse.get(responseId);
    if (!turn || turn.server) return false;
    turn.server = {};
    for (const name of Object.keys(SERVER_FIGURES) as ServerFigure[]) {
      const value = num(figures[name]);
      if (value !== undefined) turn.server[name] = value;
    }
    return true;
  }

  /** The call is over: nothing more will happen to what is still open. */
  close(at: number): void {
    for (const turn of this.turns) {
      if (isOver(turn)) continue;
      if (!turn.responseIds.length) turn.status = "skipped";
      else {
        turn.stamps.interrupted = at;
        this.end(turn, "interrupted", at);
      }
    }
  }

  // ---- inside

  private begin(kind: Turn["kind"], at: number): Turn {
    const turn: Turn = {
      n: this.turns.length + 1,
      kind,
      responseIds: [],
      stamps: { speechStart: at },
      tools: [],
      userText: "",
      answerText: "",
      status: "open",
      usage: {},
    };
    for (const earlier of this.turns) if (earlier.status === "open" && !earlier.responseIds.length) earlier.status = "skipped";
    this.turns.push(turn);
    return turn;
  }

  private speechStarted(itemId: string, audioMs: number | undefined, at: number): void {
    const from = audioMs === undefined ? undefined : audioMs + this.detection.prefixMs;
    const captured = from === undefined ? undefined : this.clock(from);
    const turn = this.begin("speech", Math.min(at, captured ?? at));
    turn.itemId = itemId;
    this.byItem.set(itemId, turn);
    if (from !== undefined) this.speechFrom.set(turn, from);
  }

  private speechStopped(itemId: string, audioMs: number | undefined, at: number): void {
    const turn = this.byItem.get(itemId);
    if (!turn) return;
    const { silenceMs } = this.detection;
    const captured = audioMs === undefined ? undefined : this.clock(audioMs - silenceMs);
    if (captured === undefined && audioMs !== undefined) this.timeBackwards(turn, audioMs - silenceMs, at - silenceMs);
    else turn.stamps.speechStop = Math.max(turn.stamps.speechStart!, Math.min(at, captured ?? at));
  }

  /** Without a clock (WebRTC): the silence has just been heard, so speech ended that much earlier; its length is known. */
  private timeBackwards(turn: Turn, endedMs: number, stop: number): void {
    const from = this.speechFrom.get(turn);
    turn.stamps.speechStop = stop;
    turn.stamps.speechStart = Math.min(stop, from === undefined ? turn.stamps.speechStart! : stop - (endedMs - from));
  }

  private committed(itemId: string, at: number): void {
    let turn = this.byItem.get(itemId);
    if (!turn) {
      turn = this.asked?.kind === "push" && !this.asked.itemId ? this.asked : this.begin("push", at);
      turn.itemId = itemId;
      this.byItem.set(itemId, turn);
    }
    turn.stamps.committed ??= at;
    turn.stamps.speechStop ??= at;
    this.asked = turn;
  }

  private transcribed(itemId: string, text: string, at: number): void {
    const turn = this.byItem.get(itemId);
    if (!turn) return;
    turn.userText = text.trim();
    turn.stamps.transcript = at;
  }

  private responseCreated(id: string, at: number): void {
    const turn = this.continuing ?? this.asked ?? this.begin("text", at);
    this.continuing = this.asked = undefined;
    turn.stamps.responseCreated ??= at;
    turn.responseIds.push(id);
    if (turn.status === "skipped") turn.status = "open";
    this.byResponse.set(id, turn);
  }

  private answerAdded(responseId: string, itemId: string): void {
    const turn = this.byResponse.get(responseId);
    if (!turn) return;
    turn.answerItemId = itemId;
    this.byAnswer.set(itemId, turn);
  }

  private sent(responseId: string, at: number): void {
    const turn = this.byResponse.get(responseId);
    if (turn) turn.stamps.firstSent ??= at;
  }

  private said(responseId: string, text: string): void {
    const turn = this.byResponse.get(responseId);
    if (turn) turn.answerText += text;
  }

  private toolCalled(responseId: string, callId: string, name: string, at: number): void {
    const turn = this.byResponse.get(responseId);
    if (!turn) return;
    turn.tools.push({ callId, name, start: at });
    turn.stamps.toolStart ??= at;
    this.byCall.set(callId, turn);
  }

  private toolEnded(callId: string, at: number): void {
    const turn = this.byCall.get(callId);
    const span = turn?.tools.find((tool) => tool.callId === callId);
    if (!turn || !span) return;
    span.end = at;
    turn.stamps.toolEnd = at;
    this.continuing = turn;
  }

  private responseDone(event: RealtimeEvent, at: number): void {
    const response = responseOf(event);
    const turn = this.byResponse.get(str(response.id));
    if (!turn) return;
    turn.usage = addUsage(turn.usage, response.usage ?? {});
    turn.stamps.generated = at;
    if (isOver(turn)) return;
    const calls = (response.output ?? []).some((item) => item.type === "function_call");
    if (response.status === "failed") {
      turn.error = response.status_details?.error?.message ?? response.status_details?.error?.code ?? "The response failed.";
      this.end(turn, "failed", at);
    } else if (response.status === "cancelled") {
      if (turn.stamps.firstSent === undefined || turn.stamps.firstPlayed === undefined) {
        turn.stamps.interrupted = at;
        this.end(turn, "cancelled", at);
      } // otherwise the loudspeaker says where it was cut
    } else if (response.status === "incomplete" && turn.stamps.firstSent === undefined) {
      this.end(turn, "incomplete", at);
    } else if (!calls && !this.hasSound(turn)) {
      this.end(turn, "completed", at);
    }
  }

  /** Sound is on its way, so the turn ends when it has been heard. */
  private hasSound(turn: Turn): boolean {
    return turn.stamps.firstSent !== undefined && turn.answerItemId !== undefined && !this.silent;
  }

  /** Text sessions have no loudspeaker. */
  silent = false;

  private end(turn: Turn, status: Turn["status"], at: number): void {
    turn.status = status;
    if (turn.stamps.interrupted === undefined) turn.stamps.done = at;
  }
}

export const isOver = (turn: Turn): boolean => turn.status !== "open";

/** The stamps that follow one another, each with the stage that ends there. */
function chain(turn: Turn): [Stage, number | undefined][] {
  const { stamps } = turn;
  const inTime = (at?: number) => (stamps.responseCreated === undefined || (at ?? Infinity) <= stamps.responseCreated ? at : undefined);
  const tools = stamps.toolStart !== undefined;
  return [
    ["speech", stamps.speechStop],
    ["wait", stamps.committed],
    ["transcribe", inTime(stamps.transcript)],
    ["dispatch", stamps.responseCreated],
    ["think", stamps.toolStart],
    ["tool", tools ? stamps.toolEnd : undefined],
    ["respond", stamps.firstSent],
    ["deliver", stamps.firstPlayed],
    [stamps.firstPlayed === undefined ? (stamps.firstSent === undefined ? "respond" : "speak") : "speak", stamps.interrupted ?? stamps.done],
  ];
}

/** Segments without gap or overlap: their durations add up to the turn's. Open turns run until `now`. */
export function segments(turn: Turn, now?: number): Segment[] {
  let at = turn.stamps.speechStart;
  if (at === undefined) return [];
  const found: Segment[] = [];
  for (const [stage, stamp] of chain(turn)) {
    if (stamp === undefined) continue;
    const end = Math.max(at, stamp);
    if (end > at) found.push({ stage, start: at, end });
    at = end;
  }
  if (turn.status === "open" && now !== undefined && now > at) found.push({ stage: nextStage(turn), start: at, end: now });
  return found;
}

/** What an open turn is doing. */
export function nextStage(turn: Turn): Stage {
  const { stamps } = turn;
  if (stamps.speechStop === undefined) return "speech";
  if (stamps.firstPlayed !== undefined) return "speak";
  if (stamps.firstSent !== undefined) return "deliver";
  if (stamps.toolStart !== undefined && (stamps.toolEnd === undefined || turn.tools.some((tool) => tool.end === undefined))) return "tool";
  if (stamps.responseCreated !== undefined) return "respond";
  if (stamps.transcript !== undefined) return "dispatch";
  return stamps.committed !== undefined ? "transcribe" : "wait";
}

export const STAGES: Record<Stage, { label: string; about: string }> = {
  speech: { label: "Speech", about: "The user speaks, or the message was sent." },
  wait: { label: "End of turn", about: "From the last voiced sound until the turn was committed." },
  transcribe: { label: "Transcribe", about: "Speech to text." },
  dispatch: { label: "Dispatch", about: "Until the response was created." },
  think: { label: "Decide", about: "Until the model called a tool." },
  tool: { label: "Tool", about: "From the tool call to its answer." },
  respond: { label: "Respond", about: "Language model and voice, until the first sound was sent." },
  deliver: { label: "Deliver", about: "Network and buffers, until the first sound was heard." },
  speak: { label: "Speak", about: "The answer is heard, until its end or the interruption." },
};

export const STAMP_LABELS: [keyof Stamps, string][] = [
  ["speechStart", "Speech started"],
  ["speechStop", "Speech stopped"],
  ["committed", "Committed"],
  ["transcript", "Transcript"],
  ["responseCreated", "Response created"],
  ["toolStart", "Tool called"],
  ["toolEnd", "Tool answered"],
  ["firstSent", "First sound sent"],
  ["firstPlayed", "First sound heard"],
  ["generated", "Generated"],
  ["done", "Done"],
  ["interrupted", "Interrupted"],
];

/** From the end of speech to the first sound (or text) of the answer, ms. */
export function latency(turn: Turn): number | undefined {
  const { speechStop, firstPlayed, firstSent } = turn.stamps;
  const heard = firstPlayed ?? firstSent;
  return speechStop === undefined || heard === undefined ? undefined : heard - speechStop;
}

export interface Percentiles {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** Nearest rank; undefined of nothing. */
export function percentiles(values: number[]): Percentiles | undefined {
  if (!values.length) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { count: sorted.length, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: sorted.at(-1)! };
}

export type StageStatistics = { stage: Stage | "total"; figures: Percentiles };

/** The whole latency of every turn that was heard; then, of the finished turns, stage by stage. */
export function statistics(turns: Turn[]): StageStatistics[] {
  const over = turns.filter((turn) => isOver(turn) && turn.responseIds.length);
  const values = new Map<Stage | "total", number[]>([["total", turns.flatMap((turn) => latency(turn) ?? [])]]);
  for (const turn of over) {
    for (const { stage, start, end } of segments(turn)) {
      if (!values.has(stage)) values.set(stage, []);
      values.get(stage)!.push(end - start);
    }
  }
  return (["total", ...Object.keys(STAGES)] as (Stage | "total")[]).flatMap((stage) => {
    const figures = percentiles(values.get(stage) ?? []);
    return figures ? [{ stage, figures }] : [];
  });
}

export function addUsage(a: Usage, b: Usage): Usage {
  const sum = (x?: Record<string, unknown>, y?: Record<string, unknown>): Record<string, number> => {
    const total: Record<string, number> = {};
    for (const key of new Set([...Object.keys(x ?? {}), ...Object.keys(y ?? {})])) {
      const [one, other] = [x?.[key], y?.[key]];
      if (typeof (one ?? other) === "number") total[key] = Number(one ?? 0) + Number(other ?? 0);
    }
    return total;
  };
  return {
    ...sum(a as Record<string, unknown>, b as Record<string, unknown>),
    input_token_details: sum(a.input_token_details, b.input_token_details),
    output_token_details: sum(a.output_token_details, b.output_token_details),
  };
}
