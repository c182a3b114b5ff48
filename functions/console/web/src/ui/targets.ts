// The target of a delivery, as screens show it.
import type { TimelineEvent } from "../api/client"

type DeliveryChannel = NonNullable<TimelineEvent["channel"]>

/** Returns a target as its own user sees it. A device's token means nothing to people, so it is shown as the service
 * and the end of the token. */
export function ownTarget(channel: DeliveryChannel, target: string): string {
  if (channel !== "push") return target
  const [service, rest] = [target.split(":")[0] ?? "", target.slice(target.indexOf(":") + 1)]
  return service === "webpush" ? origin(rest) : `${service} …${rest.slice(-4)}`
}

/** Returns a target as others see it: enough to recognize it, and too little to use it. */
export function maskedTarget(channel: DeliveryChannel, target: string): string {
  switch (channel) {
    case "email": {
      const at = target.lastIndexOf("@")
      return at < 1 ? "***" : `${[...target][0]}***${target.slice(at)}`
    }
    case "sms": return target.length < 8 ? "***" : `${target.slice(0, 3)}***${target.slice(-2)}`
    case "webhook": return origin(target)
    case "push": return ownTarget(channel, target)
    default: return target && "***"
  }
}

/** Returns a URL without the parts that may be secret. */
function origin(url: string): string {
  const found = url.match(/^https?:\/\/[^/?#@\s]+/)?.[0]
  return found && !url.slice(found.length).startsWith("@") ? `${found}/***` : "***"
}
