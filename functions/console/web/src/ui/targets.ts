// Where a delivery goes, as it is shown.
import type { TimelineEvent } from "../api/client"

type DeliveryChannel = NonNullable<TimelineEvent["channel"]>

/** A target to its own user. A device's token means nothing to people: its service and its end tell devices apart. */
export function ownTarget(channel: DeliveryChannel, target: string): string {
  if (channel !== "push") return target
  const [service, rest] = [target.split(":")[0] ?? "", target.slice(target.indexOf(":") + 1)]
  return service === "webpush" ? origin(rest) : `${service} …${rest.slice(-4)}`
}

/** A target to somebody else: enough of it to tell whether it is the right one, and too little to use it. */
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

/** A URL without what may be secret in it. */
function origin(url: string): string {
  const found = url.match(/^https?:\/\/[^/?#@\s]+/)?.[0]
  return found && !url.slice(found.length).startsWith("@") ? `${found}/***` : "***"
}
