import { fileURLToPath } from "node:url"
import { build } from "vite"

/** Imports a file of src, with what it imports. */
export async function load(path) {
  const entry = fileURLToPath(new URL("../../src/" + path, import.meta.url))
  const [{ output }] = await build({ configFile: false, logLevel: "silent", build: { lib: { entry, formats: ["es"], fileName: "module" }, write: false } })
  return import("data:text/javascript," + encodeURIComponent(output[0].code))
}
