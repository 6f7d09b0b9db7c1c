// Each page that needs a script names itself in `data-page` of its body; a page without one works as plain HTML.
import { startReading } from "./reading";
import { startRefreshing } from "./refresh";

const page = document.body.dataset["page"];
if (page === "reading") {
  startReading();
} else if (page === "worklist" || page === "office" || page === "studies" || page === "report") {
  startRefreshing();
}
