// Says of SNS's messages whether they are Amazon's: {"certificate", "messages"} on standard
// input. It prints a line for each: "valid", or "refused: " and why. The certificate is handed
// over instead of fetched.
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import https from "node:https";
import MessageValidator from "sns-validator";

const { certificate, messages } = JSON.parse(readFileSync(0, "utf8"));
https.get = (_url, answer) => {
  answer(Object.assign(Readable.from([Buffer.from(certificate)]), { statusCode: 200 }));
  return { on() {} };
};
const validator = new MessageValidator();
for (const message of messages) {
  console.log(await new Promise((done) => validator.validate(message, (error) => done(error ? "refused: " + error.message.split("\n")[0] : "valid"))));
}
