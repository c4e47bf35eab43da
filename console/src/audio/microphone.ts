/** The microphone: opened once, kept over reconnections, heard in pieces of 20 ms. */

import captureUrl from "./capture.worklet.ts?worker&url";
import { microphoneProblem, problem, ProblemError } from "../model/problems.js";
import { RATE_HZ } from "./pcm.js";

export type Hear = (pcm: Int16Array, at: number) => void;

/** Turns a stream into pieces of PCM. `at`: when the piece ended, on the page's clock. */
export class Tap {
  private constructor(
    private context: AudioContext,
    private source: MediaStreamAudioSourceNode,
    private node: AudioWorkletNode,
  ) {}

  static async open(stream: MediaStream, hear: Hear): Promise<Tap> {
    const { context, source } = await attach(stream);
    await context.audioWorklet.addModule(captureUrl);
    const node = new AudioWorkletNode(context, "parley-capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }: MessageEvent<Int16Array>) => hear(data, performance.now());
    source.connect(node);
    void context.resume();
    return new Tap(context, source, node);
  }

  close(): void {
    this.node.port.onmessage = null;
    this.source.disconnect();
    void this.context.close();
  }
}

/** Firefox joins streams only to contexts of the device's own rate; the worklet resamples there. */
async function attach(stream: MediaStream) {
  for (const options of [{ sampleRate: RATE_HZ }, {}]) {
    const context = new AudioContext(options);
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      await context.close();
    }
  }
  throw new ProblemError(problem("no_worklet"));
}

export class Microphone {
  /** Nobody hears, but time goes on: silence is sent. */
  private silenced = false;

  private constructor(
    readonly stream: MediaStream,
    private tap: Tap,
  ) {}

  /** Rejects with `ProblemError`. */
  static async open(deviceId: string, hear: Hear): Promise<Microphone> {
    if (!window.isSecureContext || !navigator.mediaDevices) throw new ProblemError(problem("insecure_context"));
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          channelCount: 1,
        },
      });
    } catch (error) {
      throw new ProblemError(microphoneProblem(error));
    }
    return new Microphone(stream, await Tap.open(stream, hear));
  }

  get muted(): boolean {
    return this.silenced;
  }

  set muted(muted: boolean) {
    this.silenced = muted;
    for (const track of this.stream.getAudioTracks()) track.enabled = !muted;
  }

  /** The device went away. */
  onGone(then: () => void): void {
    for (const track of this.stream.getAudioTracks()) track.addEventListener("ended", then);
  }

  close(): void {
    this.tap.close();
    for (const track of this.stream.getTracks()) track.stop();
  }
}

export interface Devices {
  inputs: MediaDeviceInfo[];
  outputs: MediaDeviceInfo[];
}

/** Devices have names only after the microphone was allowed once. */
export async function devices(): Promise<Devices> {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const real = all.filter((device) => device.deviceId && device.deviceId !== "default" && device.deviceId !== "communications");
  return {
    inputs: real.filter((device) => device.kind === "audioinput"),
    outputs: real.filter((device) => device.kind === "audiooutput"),
  };
}

export const canChooseSpeaker = (): boolean => "setSinkId" in AudioContext.prototype;
