// Verifies one webhook: {"secret", "headers", "body"} on standard input. It prints
// "verified", or "refused: " and why.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
try {
  new Webhook(secret).verify(body, headers);
  console.log("verified");
} catch (error) {
  console.log("refused: " + error.message);
}
