// Writes requests with web-push, as it sends them: lines {"subscription", "payload", "subject",
// "publicKey", "privateKey", "topic"} on standard input. For each it prints a line {"headers",
// "body"}, the body in base64.
import { createInterface } from "node:readline";
import webPush from "web-push";

for await (const line of createInterface({ input: process.stdin })) {
  const { subscription, payload, topic, ...vapidDetails } = JSON.parse(line);
  const { headers, body } = webPush.generateRequestDetails(subscription, payload, { vapidDetails, topic, urgency: "high", TTL: 60 });
  console.log(JSON.stringify({ headers, body: body.toString("base64") }));
}
