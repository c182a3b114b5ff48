// Loads a module of the page that imports nothing but types.
import { readFileSync } from "node:fs"
import { transformWithOxc } from "vite"

/** Imports a file of src. */
export async function load(path) {
  const source = new URL("../../src/" + path, import.meta.url)
  const { code } = await transformWithOxc(readFileSync(source, "utf8"), source.pathname)
  return import("data:text/javascript," + encodeURIComponent(code))
}
