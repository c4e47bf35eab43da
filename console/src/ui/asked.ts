import type { ReactiveController, ReactiveControllerHost } from "lit";
import { SignedOut } from "../api.js";
import { asProblem, type Problem } from "../model/problems.js";

/** What the server said last, or why it did not. Of two questions, the later one's answer counts. */
export class Asked<T> implements ReactiveController {
  value: T | undefined;
  problem: Problem | undefined;
  waiting = false;
  private asked = 0;

  constructor(private host: ReactiveControllerHost) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.asked++;
  }

  async ask(question: Promise<T>): Promise<void> {
    const mine = ++this.asked;
    this.waiting = true;
    this.host.requestUpdate();
    try {
      const value = await question;
      if (mine === this.asked) [this.value, this.problem] = [value, undefined];
    } catch (error) {
      if (mine === this.asked && !(error instanceof SignedOut)) this.problem = asProblem(error);
    }
    if (mine !== this.asked) return;
    this.waiting = false;
    this.host.requestUpdate();
  }

  /** For what belongs to something else that is asked about now. */
  forget(): void {
    this.asked++;
    this.value = this.problem = undefined;
    this.waiting = false;
    this.host.requestUpdate();
  }

  dismiss = (): void => {
    this.problem = undefined;
    this.host.requestUpdate();
  };
}

/** In one sentence, for a form: the server's own words where it has some. */
export function sentence(error: unknown): string {
  if (error instanceof SignedOut) return error.message;
  const { detail, title } = asProblem(error);
  return detail ?? title;
}
