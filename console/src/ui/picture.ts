/** Pictures as the session takes them: JPEG or PNG in a data URL. */

export const PICTURE_TYPES = ["image/png", "image/jpeg"];
/** Characters of a data URL that one message of a WebRTC channel (262,144 bytes) and of a WebSocket may hold. */
export const PICTURE_CHARS_MAX = { webrtc: 240_000, websocket: 5_000_000 };

const SIDES_PX = [2048, 1536, 1024, 768, 512, 256];
const QUALITY = 0.85;

/** The file itself where it is small enough, else the largest copy that is. Rejects what is no picture. */
export async function fromFile(file: Blob, charsMax: number): Promise<string> {
  const bitmap = await createImageBitmap(file);
  try {
    const whole = await dataUrl(file);
    return whole.length <= charsMax ? whole : shrunk(bitmap, bitmap.width, bitmap.height, charsMax);
  } finally {
    bitmap.close();
  }
}

/** What a video shows now. */
export const fromVideo = (video: HTMLVideoElement, charsMax: number): string =>
  shrunk(video, video.videoWidth, video.videoHeight, charsMax);

function shrunk(source: CanvasImageSource, width: number, height: number, charsMax: number): string {
  let url = "";
  for (const side of SIDES_PX) {
    const scale = Math.min(1, side / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext("2d")!.drawImage(source, 0, 0, canvas.width, canvas.height);
    url = canvas.toDataURL("image/jpeg", QUALITY);
    if (url.length <= charsMax) break;
  }
  return url;
}

function dataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}
