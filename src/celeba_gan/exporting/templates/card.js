"use strict";
// The model card: README.md, which a browser by itself shows as plain text in a wrong encoding. It is read when it is
// opened, so that what its publisher adds is shown, too. Its text becomes text nodes: nothing in it can run.
(() => {
  const make = (tag, ...children) => {
    const made = document.createElement(tag);
    made.append(...children);
    return made;
  };

  const link = (words, target) => {
    const url = new URL(target, location.href), made = make("a", ...inline(words));
    if (!/^https?:$/.test(url.protocol)) return made;
    made.href = target;
    if (url.origin !== location.origin) made.rel = "noopener noreferrer";
    return made;
  };

  const picture = (alternative, source) => {
    if (new URL(source, location.href).origin !== location.origin) return `[${alternative}]`; // nothing from elsewhere
    const made = make("img");
    made.alt = alternative;
    made.src = source;
    return made;
  };

  const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|\*(.+?)\*|!\[([^\]]*)\]\(([^)\s]+)\)|\[([^\]]+)\]\(([^)\s]+)\)/;
  const inline = (text) => {
    const found = INLINE.exec(text);
    if (!found) return text ? [text] : [];
    const [all, code, strong, emphasis, alternative, source, words, target] = found;
    const made = code ? make("code", code)
      : strong ? make("strong", ...inline(strong))
      : emphasis ? make("em", ...inline(emphasis))
      : source ? picture(alternative, source)
      : link(words, target);
    return [text.slice(0, found.index), made, ...inline(text.slice(found.index + all.length))];
  };

  const heading = (marks, text) => {
    const made = make(`h${Math.min(marks.length + 1, 6)}`, ...inline(text)); // h1 is the page's
    made.id = text.toLowerCase().replace(/[^\p{L}\p{N}\s-]/gu, "").trim().replace(/\s+/g, "-"); // as links name it
    return made;
  };

  const table = (lines) => {
    const rows = lines.map((line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim()));
    const isRule = rows.length > 1 && rows[1].every((cell) => /^:?-+:?$/.test(cell));
    const [head, sides] = isRule ? rows.splice(0, 2) : [[], []];
    const row = (cells, tag) => make("tr", ...cells.map((cell, place) => {
      const made = make(tag, ...inline(cell.replaceAll("\\|", "|")));
      if (/-:$/.test(sides[place])) made.className = "number";
      return made;
    }));
    const body = make("tbody", ...rows.map((cells) => row(cells, "td")));
    const made = head.some(Boolean) ? make("table", make("thead", row(head, "th")), body) : make("table", body);
    const frame = make("div", made); // a wide table scrolls by itself
    frame.className = "table";
    return frame;
  };

  // Markdown as the card is written: headings, paragraphs, tables, lists, code, and <details> around some of them.
  const render = (markdown) => {
    const lines = markdown.replace(/\r\n?/g, "\n").replace(/^---\n[^]*?\n---\n/, "").split("\n");
    const take = (test) => {
      const end = lines.findIndex((line) => !test(line));
      return lines.splice(0, end < 0 ? lines.length : end);
    };
    const whole = make("div");
    let into = whole;
    while (lines.length) {
      const line = lines[0], title = /^(#{1,6}) (.*)/.exec(line), folded = /^<details><summary>(.*)<\/summary>$/.exec(line);
      if (/^    /.test(line)) {
        into.append(make("pre", make("code", take((one) => /^    /.test(one)).map((one) => one.slice(4)).join("\n"))));
      } else if (line.startsWith("|")) {
        into.append(table(take((one) => one.startsWith("|"))));
      } else if (/^[-*] /.test(line)) {
        const items = take((one) => /^([-*] |  )/.test(one)).join("\n").split(/^[-*] /m).slice(1);
        into.append(make("ul", ...items.map((item) => make("li", ...inline(item.replace(/\s+/g, " ").trim())))));
      } else {
        lines.shift(); // whatever it is, so that this ends
        if (title) {
          into.append(heading(title[1], title[2]));
        } else if (line.startsWith("```")) {
          into.append(make("pre", make("code", take((one) => !one.startsWith("```")).join("\n"))));
          lines.shift();
        } else if (folded) {
          into = make("details", make("summary", ...inline(folded[1])));
          whole.append(into);
        } else if (line === "</details>") {
          into = whole;
        } else if (line.trim()) {
          const more = take((one) => one.trim() && !/^(#|\||```|[-*] |<\/?details)/.test(one));
          into.append(make("p", ...inline([line, ...more].join(" "))));
        }
      }
    }
    return whole.childNodes;
  };

  const opener = document.getElementById("open-card"), dialog = document.getElementById("card");
  opener.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const answer = await fetch(opener.href).catch(() => null); // its text() is UTF-8, whatever the server says
    if (!answer || !answer.ok) {
      location.assign(opener.href); // the browser says what is wrong with it
      return;
    }
    document.getElementById("card-text").replaceChildren(...render(await answer.text()));
    dialog.showModal();
    dialog.scrollTop = 0;
  });
  document.getElementById("close-card").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the card
  });
})();
