// Reads an event stream with an EventSource of others: {"library", "url", "token"} on
// standard input. It prints a line of JSON for each thing that happens, and goes on until
// it is killed.
import { readFileSync } from "node:fs";
import { EventSource } from "eventsource";
import polyfill from "event-source-polyfill";

const { library, url, token } = JSON.parse(readFileSync(0, "utf8"));
const headers = { Authorization: "Bearer " + token };
const source = {
  "eventsource": () => new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }) }),
  "event-source-polyfill": () => new polyfill.EventSourcePolyfill(url, { headers }),
}[library]();
const print = (line) => console.log(JSON.stringify(line));
source.addEventListener("open", () => print({ event: "open" }));
source.addEventListener("error", () => print({ event: source.readyState === 2 ? "ended" : "broken" }));
source.addEventListener("reset", (e) => print({ event: "reset", detail: JSON.parse(e.data).detail }));
source.addEventListener("notification", (e) => print({ event: "notification", title: JSON.parse(e.data).title }));
