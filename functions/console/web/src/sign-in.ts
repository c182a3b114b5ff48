// Signing in by OpenID Connect: the authorization code flow with PKCE. Tokens are in memory
// and nowhere else, so a reload asks the issuer again: by a redirect with prompt=none, which
// shows nothing to who is still signed in there, and comes back to the same screen.
import * as oauth from "oauth4webapi"
import { forget } from "./push"

/** What GET /console/config.json says. */
interface Config {
  issuer: string
  client_id: string
  scope: string
  audience?: string
  token: "access_token" | "id_token"
  admin_scope: string
  scope_claims: string[]
}

/** Who is signed in. */
export interface Session {
  token: string
  expiresAt: number // milliseconds, as Date.now
  name: string
  email?: string
  operator: boolean // whether operators' screens are shown; the API decides what may be done
  renew(): void // leaves the page, and comes back to it with a new token
  signOut(): void
}

/** Nobody is signed in. problem says why not, if there is a reason to tell. */
export interface SignedOut {
  problem?: string
  signIn(): Promise<never> // leaves the page; fails if the issuer can't be reached
}

const redirectPath = "/console/sign-in"
/** Survives the redirects of one sign-in, in this tab alone: what its answer is held against. */
const pendingKey = "duebell.sign-in"
/** Whether somebody has signed in with this browser, and not out since: no more than that. */
const hintKey = "duebell.signed-in"

interface Pending {
  verifier: string
  state: string
  nonce: string
  path: string
  silent: boolean
}

/** Finds out who is signed in. It may leave the page instead; then its promise never ends. */
export async function start(): Promise<Session | SignedOut> {
  const config: Config = await (await fetch("/console/config.json")).json()
  const pending = takePending()
  let problem: string | undefined
  if (location.pathname === redirectPath) {
    const answer = new URL(location.href)
    history.replaceState(null, "", pending?.path ?? "/console/inbox")
    if (pending && (answer.searchParams.has("code") || answer.searchParams.has("error"))) {
      try {
        return await finish(config, pending, answer)
      } catch (error) {
        if (!(pending.silent && error instanceof oauth.AuthorizationResponseError)) problem = explain(error)
      }
      localStorage.removeItem(hintKey) // or it would be tried for ever
    }
  }
  if (localStorage.getItem(hintKey)) return leave(config, true)
  return { problem, signIn: () => leave(config, false) }
}

function takePending(): Pending | null {
  const kept = sessionStorage.getItem(pendingKey)
  sessionStorage.removeItem(pendingKey)
  return kept === null ? null : (JSON.parse(kept) as Pending)
}

function explain(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) {
    return error.error_description ? `${error.error}: ${error.error_description}` : error.error
  }
  return error instanceof Error ? error.message : String(error)
}

// An issuer on this machine speaks HTTP; everywhere else the policy and the function want HTTPS.
const options = (config: Config) => ({ [oauth.allowInsecureRequests]: config.issuer.startsWith("http:") })

async function discover(config: Config): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(config.issuer)
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options(config)))
}

/** Goes to the issuer, and never ends. */
async function leave(config: Config, silent: boolean): Promise<never> {
  const server = await discover(config)
  const pending: Pending = {
    verifier: oauth.generateRandomCodeVerifier(),
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    path: location.pathname + location.search,
    silent,
  }
  const url = new URL(server.authorization_endpoint!)
  const parameters: Record<string, string> = {
    client_id: config.client_id,
    redirect_uri: location.origin + redirectPath,
    response_type: "code",
    scope: config.scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier),
    code_challenge_method: "S256",
  }
  if (silent) parameters.prompt = "none"
  if (config.audience) parameters.audience = config.audience
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  sessionStorage.setItem(pendingKey, JSON.stringify(pending))
  location.assign(url)
  return new Promise(() => {})
}

/** Exchanges the code that the issuer has answered with. */
async function finish(config: Config, pending: Pending, answer: URL): Promise<Session> {
  const server = await discover(config)
  const client: oauth.Client = { client_id: config.client_id }
  const parameters = oauth.validateAuthResponse(server, client, answer, pending.state)
  const response = await oauth.authorizationCodeGrantRequest(
    server, client, oauth.None(), parameters, location.origin + redirectPath, pending.verifier, options(config),
  )
  const result = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: pending.nonce,
    requireIdToken: true,
  })
  const claims = oauth.getValidatedIdTokenClaims(result)!
  const token = config.token === "id_token" ? result.id_token! : result.access_token
  const said = claimsOf(token)
  localStorage.setItem(hintKey, "yes")
  const end = typeof said.exp === "number" ? said.exp * 1000 : Date.now() + (result.expires_in ?? 3600) * 1000
  return {
    token,
    expiresAt: end,
    name: String(claims.name ?? claims.preferred_username ?? claims.email ?? claims.sub),
    email: claims.email_verified === true && typeof claims.email === "string" ? claims.email : undefined,
    operator: config.scope_claims.some((claim) => scopes(said[claim]).includes(config.admin_scope)),
    renew: () => void leave(config, true),
    signOut: () => void signOut(config, server, result.id_token!),
  }
}

async function signOut(config: Config, server: oauth.AuthorizationServer, idToken: string) {
  // What would still come is nobody else's. The browser may have to ask its push service, which may not answer.
  await Promise.race([forget().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1000))])
  localStorage.removeItem(hintKey)
  sessionStorage.clear() // what was typed is nobody else's
  if (!server.end_session_endpoint) {
    location.assign("/console/inbox") // the tokens are gone with the page
    return
  }
  const url = new URL(server.end_session_endpoint)
  url.searchParams.set("client_id", config.client_id)
  url.searchParams.set("id_token_hint", idToken)
  url.searchParams.set("post_logout_redirect_uri", location.origin + redirectPath)
  location.assign(url)
}

/** Reads what a token says, to show it: whether it is true is the API's to check. */
function claimsOf(token: string): Record<string, unknown> {
  try {
    const payload = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0))))
  } catch {
    return {} // it is no JWT; the API will say so
  }
}

function scopes(claim: unknown): string[] {
  if (typeof claim === "string") return claim.split(" ")
  return Array.isArray(claim) ? claim.map(String) : []
}
