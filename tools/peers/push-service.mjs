// Runs the push service of web-push-testing on a free port: it prints its URL, and goes on until
// it is killed.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Service = require("web-push-testing/src/server.js");
const { PushApiModel } = require("web-push-testing/src/PushApiModel.js");

const model = new PushApiModel();
const service = new Service(model, 0);
const log = console.log;
console.log = () => {}; // it names the port that it was asked for
service.startServer();
service._server.once("listening", () => {
  const url = `http://localhost:${service._server.address().port}`;
  model.notifyUrl = url + "/notify/";
  log(url);
});
