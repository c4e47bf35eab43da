import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const BUILT = here("../parley/web/console_dist");
const TEXT = /\.(js|css|html|svg)$/;

/** Lays a `.br` and a `.gz` beside every text, so that the server need not compress. */
const twins = (): Plugin => ({
  name: "twins",
  apply: "build",
  async closeBundle() {
    for (const entry of await readdir(BUILT, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !TEXT.test(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      const text = await readFile(path);
      await writeFile(`${path}.br`, await promisify(brotliCompress)(text));
      await writeFile(`${path}.gz`, await promisify(gzip)(text, { level: 9 }));
    }
  },
});

export default defineConfig({
  base: "/console/",
  plugins: [twins()],
  resolve: {
    // Lit's own writes a style attribute first, which our content security policy refuses.
    alias: [{ find: /^lit\/directives\/style-map\.js$/, replacement: here("src/style-map.ts") }],
  },
  build: {
    outDir: BUILT,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    // `npm run dev` beside a running Parley: one origin for the page, its API and the calls.
    proxy: Object.fromEntries(["/api", "/v1"].map((path) => [path, { target: "http://127.0.0.1:8000", ws: true }])),
  },
});
