// Web Push in this browser: a subscription at the browser's own push service, which is a device
// in the preferences. There is one for all users of a browser, so it counts as on only if it is
// among the devices of who is signed in.
import { answered, type Client, type Preferences, type Schemas } from "./api/client"
import { go } from "./router"

const worker = "/console/push-worker.js"

/** unsupported: not by this browser, or not set up here. uninstalled: an iPhone or iPad, which takes Web Push only from
 * its home screen. blocked: by the user, in the browser's settings. */
export type PushState = "unsupported" | "uninstalled" | "blocked" | "off" | "on"

interface Chosen {
  value: Preferences
  etag: string
}

/** Whether this browser tells of reminders of who has chosen these preferences. */
export async function pushState({ webpush_public_key: key, devices }: Preferences): Promise<PushState> {
  if (key && "standalone" in navigator && !navigator.standalone && !("PushManager" in window)) return "uninstalled"
  if (!key || !("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return "unsupported"
  if (Notification.permission === "denied") return "blocked"
  const subscription = await subscribed()
  return subscription && Notification.permission === "granted" && (await isAmong(devices, subscription)) ? "on" : "off"
}

/** Whether the browser has subscribed for another key than the one that counts now. */
export async function isOutdated({ webpush_public_key: key }: Preferences): Promise<boolean> {
  const of = (await subscribed())?.options?.applicationServerKey
  return !!of && base64url(of) !== key
}

/** Switches it on, and returns the preferences as they are stored then; null if the user does not allow it. */
export async function switchOn(client: Client): Promise<Chosen | null> {
  if ((await Notification.requestPermission()) !== "granted") return null
  const registration = await navigator.serviceWorker.register(trusted(worker), { scope: "/console/" })
  await ready(registration)
  const chosen = await read(client)
  const before = await registration.pushManager.getSubscription()
  const devices = before ? await without(chosen.value.devices, before) : chosen.value.devices
  // It may be another user's, or for another key. The device that it was goes by itself.
  await before?.unsubscribe()
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: chosen.value.webpush_public_key })
  try {
    const { endpoint, keys } = subscription.toJSON() as { endpoint: string; keys: { p256dh: string; auth: string } }
    return await save(client, chosen, [...devices, { provider: "webpush", subscription: { endpoint, keys } }])
  } catch (error) {
    await subscription.unsubscribe() // nobody can send to it
    throw error
  }
}

/** Switches it off, and returns the preferences as they are stored then. */
export async function switchOff(client: Client): Promise<Chosen> {
  const chosen = await read(client)
  const subscription = await subscribed()
  if (!subscription) return chosen
  const saved = await save(client, chosen, await without(chosen.value.devices, subscription))
  await subscription.unsubscribe()
  return saved
}

async function read(client: Client): Promise<Chosen> {
  const { data, etag } = await answered(client.GET("/api/preferences"))
  return { value: data, etag }
}

/** Ends the subscription of this browser, whoever's it is. Its device goes when the next message finds nobody. */
export async function forget(): Promise<void> {
  if ("serviceWorker" in navigator) await (await subscribed())?.unsubscribe()
}

/** Opens the screens that the service worker asks for. */
export function followWorker() {
  navigator.serviceWorker?.addEventListener("message", (event: MessageEvent<{ open: string }>) => go(event.data.open))
}

async function subscribed(): Promise<PushSubscription | null | undefined> {
  return (await navigator.serviceWorker.getRegistration("/console/"))?.pushManager?.getSubscription()
}

/** Stores other devices. Push is on as long as there is one. */
async function save(client: Client, { value, etag }: Chosen, devices: Schemas["DeviceInput"][]): Promise<Chosen> {
  const saved = await answered(client.PUT("/api/preferences", {
    params: { header: { "If-Match": etag } },
    body: { ...value, devices, channels: { ...value.channels, push: devices.length > 0 } },
  }))
  return { value: saved.data, etag: saved.etag }
}

async function isAmong(devices: Preferences["devices"], subscription: PushSubscription): Promise<boolean> {
  return (await without(devices, subscription)).length < devices.length
}

async function without(devices: Preferences["devices"], subscription: PushSubscription): Promise<Preferences["devices"]> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("webpush:" + subscription.endpoint))
  const id = [...new Uint8Array(hash).slice(0, 16)].map((b) => b.toString(16).padStart(2, "0")).join("")
  return devices.filter((d) => d.id !== id)
}

/** Waits until the worker can take messages. */
async function ready(registration: ServiceWorkerRegistration): Promise<void> {
  const coming = registration.installing ?? registration.waiting
  if (registration.active || !coming) return
  await new Promise<void>((resolve) => coming.addEventListener("statechange", () => { if (coming.state === "activated" || coming.state === "redundant") resolve() }))
}

function base64url(bytes: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string }
}

/** The worker's address, as a browser wants it that asks for trusted types. */
const trusted = (() => {
  const types = (window as { trustedTypes?: TrustedTypes }).trustedTypes
  const policy = types?.createPolicy("push-worker", {
    createScriptURL: (url) => {
      if (url !== worker) throw new TypeError(url)
      return url
    },
  })
  return (url: string) => policy?.createScriptURL(url) ?? url
})()
