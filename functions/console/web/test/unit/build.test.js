// What is built, and what is generated, is what it should be.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const web = fileURLToPath(new URL("../..", import.meta.url))

test("the types are those of openapi.json", () => {
  const want = execFileSync("npx", ["openapi-typescript", "../../../shared/api/openapi/openapi.json", "--alphabetize"], { cwd: web, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
  assert.equal(readFileSync(web + "src/api/schema.ts", "utf8"), want, "npm run types writes them again")
})

test("the first load is at most 90 KB, compressed", () => {
  const page = readFileSync(web + "dist/index.html", "utf8")
  const files = [...page.matchAll(/(?:src|href)="\/console\/([^"]+)"/g)].map((m) => m[1])
  assert.ok(files.some((f) => f.endsWith(".js")) && files.some((f) => f.endsWith(".css")), `it loads ${files}`)
  const size = ["index.html", ...files].reduce((sum, file) => sum + gzipSync(readFileSync(web + "dist/" + file)).length, 0)
  assert.ok(size <= 90_000, `it is ${size} bytes`)
})

test("nothing in the page is inline, or somebody else's", () => {
  const page = readFileSync(web + "dist/index.html", "utf8")
  assert.doesNotMatch(page, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:/)
})

test("assets have hashes in their names, and compressed copies", () => {
  const names = readdirSync(web + "dist/assets")
  for (const name of names) assert.match(name, /-[\w-]{8}\.(js|css|svg)(\.(gz|br))?$/)
  assert.ok(names.some((n) => n.endsWith(".js.gz")) && names.some((n) => n.endsWith(".js.br")))
})
