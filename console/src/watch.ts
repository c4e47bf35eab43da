import type { ReactiveController, ReactiveControllerHost } from "lit";

/** Redraws an element when a model says that it changed; at most once a frame. */
export class Watch implements ReactiveController {
  private frame = 0;

  constructor(
    private host: ReactiveControllerHost,
    private model: EventTarget,
    private type = "change",
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.model.addEventListener(this.type, this.changed);
  }

  hostDisconnected(): void {
    this.model.removeEventListener(this.type, this.changed);
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  private changed = (): void => {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.host.requestUpdate();
    });
  };
}
