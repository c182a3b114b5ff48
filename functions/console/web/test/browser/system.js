// Starts Duebell, the real one, in a folder of its own, and a browser: Debian's Chromium or the
// one that CHROMIUM names.
import { spawn } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before } from "node:test"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const root = fileURLToPath(new URL("../../../../..", import.meta.url))
const program = join(root, "build/bin/duebell")

/** The system and the browser for the tests of a file. runSystem sets them. */
export let system, browser

/** Starts the system and the browser before a file's first test, and ends them after its last one. prepare is called in between. */
export function runSystem(prepare) {
  before(async () => {
    browser = await startBrowser()
    system = await startSystem()
    await prepare?.()
  })
  after(async () => {
    await browser?.close()
    await system?.stop()
  })
}

/** Starts the system. Returns its variables, a function call that makes a request with the token of a given name, and a function that stops it. */
export async function startSystem() {
  if (!existsSync(program)) throw new Error("build/bin/duebell is not there: make build")
  const dir = mkdtempSync(join(tmpdir(), "duebell-console-"))
  chmodSync(dir, 0o711) // Postgres may have a user of its own
  const up = spawn(program, ["up", "-demo=false", "-dir", dir], { env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "pipe"] })
  let said = ""
  up.stdout.on("data", (text) => (said += text))
  up.stderr.on("data", (text) => (said += text))
  const ended = new Promise((resolve) => up.on("exit", resolve))
  const stop = async () => {
    up.kill("SIGINT")
    await ended
    rmSync(dir, { recursive: true, force: true })
  }
  const file = join(dir, "dev.env")
  for (const end = Date.now() + 120_000; !existsSync(file); ) {
    if (up.exitCode !== null || Date.now() > end) {
      await stop()
      throw new Error("Duebell has not started:\n" + said)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const variables = Object.fromEntries(
    readFileSync(file, "utf8").split("\n").map((line) => line.match(/^(\w+)='?(.*?)'?$/)).filter(Boolean).map((m) => [m[1], m[2]]),
  )
  const call = async (token, method, path, body, headers) => {
    const response = await fetch(variables.DUEBELL_URL + path, {
      method, headers: { Authorization: "Bearer " + variables[token], ...(body && { "Content-Type": "application/json" }), ...headers }, body: body && JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }
  return { url: variables.DUEBELL_URL, variables, call, stop }
}

export async function startBrowser() {
  const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync)
  if (!executablePath) {
    throw new Error("there is no Chromium: apt-get install chromium, or have CHROMIUM name one")
  }
  return chromium.launch({ executablePath })
}

/** Opens a page, and collects the errors and warnings in its console in wrong. A browser also reports there what the
 * content security policy has refused, and which requests have failed. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", ...options })
  const page = await context.newPage()
  const wrong = []
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(`${message.type()}: ${message.text()} (${message.location().url})`)
  })
  page.on("pageerror", (error) => wrong.push(`uncaught: ${error.stack}`))
  return { context, page, wrong }
}

/** Signs in on the local issuer's page. */
export async function signIn(page, url, person, path = "/") {
  await page.goto(url + path)
  await page.getByRole("button", { name: /Sign in|Anmelden/ }).click()
  await page.getByRole("button", { name: person }).click()
  await page.getByRole("navigation").waitFor()
}

/** Returns the wall-clock time in Berlin, as an input takes it. */
export function wallClock(at) {
  return at.toLocaleString("sv-SE", { timeZone: "Europe/Berlin" }).replace(" ", "T").replace(/(T..:..):00$/, "$1")
}

/** Waits until something is true, and returns it. */
export async function eventually(look) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const found = await look()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error("it did not become true within a minute: " + look)
}
