// Reads the feed event by event and notes what it has done. It is killed at the event that is named, when the event is
// done and its cursor isn't saved.
import { appendFileSync } from "node:fs";
import { RollcallClient } from "rollcall-client";
import { FileCursor } from "rollcall-client/file-cursor";

const [url = "", key = "", organizationId = "", cursor = "", notes = "", last = ""] = process.argv.slice(2);
const client = new RollcallClient({ url, key });
let count = 0;
for await (const event of client.follow(new FileCursor(cursor), { organizationId, pageSize: 4, untilCaughtUp: true })) {
  appendFileSync(notes, `${event.sequence}\n`);
  count += 1;
  if (count === Number(last)) {
    process.kill(process.pid, "SIGKILL");
  }
}
