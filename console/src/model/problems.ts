/** What can go wrong in front of the server, and what to do about it. */

export interface Problem {
  code: string;
  title: string;
  /** What to do, one step a line. */
  advice: string[];
  /** In the words of the browser or the server. */
  detail?: string;
}

const PROBLEMS: Record<string, Omit<Problem, "code" | "detail">> = {
  insecure_context: {
    title: "The browser gives the microphone to secure pages only",
    advice: [
      "Open the console at http://localhost or http://127.0.0.1 on the machine that runs Parley,",
      "or serve it over HTTPS: start Parley with --tls local, or put it behind a proxy with a certificate.",
    ],
  },
  no_microphone: {
    title: "No microphone was found",
    advice: ["Plug one in, or choose another device under Sound.", "You can go on by text: write a message below."],
  },
  microphone_blocked: {
    title: "The microphone is blocked for this page",
    advice: [
      "Click the icon at the left end of the address bar and allow the microphone, then start again.",
      "On macOS and Windows the system's privacy settings must allow it for the browser, too.",
    ],
  },
  microphone_busy: {
    title: "The microphone is in use elsewhere",
    advice: ["Close the program that holds it (a call, a recorder), then start again."],
  },
  no_worklet: {
    title: "This browser cannot process sound",
    advice: ["Use a current Chrome, Edge, Firefox or Safari."],
  },
  server_gone: {
    title: "The connection to Parley was lost",
    advice: ["It is being opened again; what you say meanwhile is kept."],
  },
  server_unreachable: {
    title: "Parley cannot be reached",
    advice: ["Is `parley serve` still running? Its log says why it ended.", "Try again when it is back."],
  },
  refused: { title: "Parley refused the call", advice: ["Change what the message names, then start again."] },
  not_done: { title: "Parley did not do this", advice: ["Change what the message names, then try again."] },
  session_expired: {
    title: "The session reached its longest duration",
    advice: ["Start a new call; what was said so far is kept under Sessions."],
  },
  server_draining: {
    title: "Parley is stopping",
    advice: ["It finishes running turns and takes no new calls. Try again when it is back."],
  },
  ice_failed: {
    title: "No way through the network was found",
    advice: [
      "A firewall between this browser and Parley stops its UDP port. Open it, or set a TURN server.",
      "Over WebSocket the call needs no further port: switch the transport.",
    ],
  },
  webrtc_not_offered: {
    title: "This Parley does not answer WebRTC calls",
    advice: ["Switch the transport to WebSocket."],
  },
  bad_tools: { title: "The tools are not valid", advice: ["Correct the JSON under Tools, then start again."] },
  unknown: { title: "Something went wrong", advice: ["Try again; the events may say more."] },
};

export function problem(code: string, detail?: string): Problem {
  const known = PROBLEMS[code] ?? PROBLEMS.unknown!;
  return { code, ...known, detail };
}

/** What `getUserMedia` threw, as a problem. */
export function microphoneProblem(error: unknown): Problem {
  const name = error instanceof DOMException || error instanceof Error ? error.name : "";
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  switch (name) {
    case "NotFoundError":
    case "OverconstrainedError":
      return problem("no_microphone", detail);
    case "NotAllowedError":
    case "SecurityError":
      return problem("microphone_blocked", detail);
    case "NotReadableError":
    case "AbortError":
      return problem("microphone_busy", detail);
    default:
      return problem("unknown", detail);
  }
}

export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

export const asProblem = (error: unknown): Problem =>
  error instanceof ProblemError ? error.problem : problem("unknown", error instanceof Error ? error.message : String(error));
