// The API, with the types that openapi.json gives. Every call returns what was asked for, or
// throws a Problem, whose detail says to people what to do.
import createClient from "openapi-fetch"
import type { components, paths } from "./schema"

export type Schemas = components["schemas"]
export type Task = Schemas["Task"]
export type TaskInput = Schemas["TaskInput"]
export type Notification = Schemas["Notification"]
export type Preferences = Schemas["Preferences"]
export type PreferencesInput = Schemas["PreferencesInput"]
export type Address = Schemas["Address"]
export type Channel = Schemas["Channel"]
export type Timeline = Schemas["Timeline"]
export type TimelineEvent = Schemas["TimelineEvent"]
export type DeadLetter = Schemas["DeadLetter"]
export type Status = Schemas["Status"]
export type TestResult = Schemas["TestResult"]
export type Analytics = Schemas["Analytics"]
export type SnoozeInput = Schemas["SnoozeInput"]

/** Why a call has failed. status is 0 if there was no answer. */
export class Problem extends Error {
  readonly status: number
  constructor(status: number, detail: string) {
    super(detail)
    this.status = status
  }
}

/** Makes the client. token says who is calling; refused is told that a token is good no more. */
export function connect(token: () => string, refused: () => void) {
  const client = createClient<paths>({ baseUrl: location.origin })
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", "Bearer " + token())
    },
    onResponse({ response }) {
      if (response.status === 401) refused()
    },
  })
  return client
}

export type Client = ReturnType<typeof connect>

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** Waits for a call, and returns its answer with the headers that came with it. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<{ data: T; etag: string }> {
  const { data, error, response } = await call.catch((): never => {
    throw new Problem(0, "")
  })
  if (!response.ok) throw new Problem(response.status, detailOf(error) || response.statusText)
  return { data: data as T, etag: response.headers.get("ETag") ?? "" }
}

/** Waits for a call, and returns its answer. */
export async function ok<T>(call: Promise<Answer<T>>): Promise<T> {
  return (await answered(call)).data
}

function detailOf(error: unknown): string {
  return typeof error === "object" && error !== null && "detail" in error ? String(error.detail) : ""
}
