"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const MISSING = "—";
  let run = null;
  let shown = null; // the question whose answers are on the screen
  let asking = null; // the controller of the request whose answers are coming
  let columns = [];

  // Words.
  const number = (value) =>
    value === null || value === undefined ? MISSING : (value > 0 ? "+" : "") + value.toPrecision(3).replace("-", "−");
  const quoted = (text) => {
    const words = text.replace(/\n/g, " line break ").replace(/\t/g, " tab ").trim();
    return text.trim() ? `“${words}”` : words || "space";
  };
  const make = (tag, fields = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), fields);
    element.append(...children);
    return element;
  };
  const say = (words) => { byId("status").textContent = words; };
  const complain = (words) => {
    byId("error").hidden = !words;
    byId("error").textContent = words;
  };

  // The form, filled from the run.
  const fill = (select, options, value) => {
    const before = value ?? select.value;
    select.replaceChildren(...options.map(([own, text]) => new Option(text, own)));
    if (options.some(([own]) => String(own) === String(before))) select.value = before;
  };
  const directionOf = (which) => run.directions.find((one) => one.name === byId(`${which}-direction`).value);
  const fillLayers = (which, value) => {
    const direction = directionOf(which);
    const layers = direction.layers.map((layer) => [layer, `${layer}${layer === direction.layer ? " (its own)" : ""}`]);
    fill(byId(`${which}-layer`), which === "change" ? [...layers, ["all", "all layers"]] : layers, value ?? direction.layer);
  };
  const drawForm = () => {
    const { asked } = run;
    document.title = `${run.name} · sgtr open`;
    byId("name").textContent = run.name;
    byId("question").textContent = run.question;
    byId("question").hidden = !run.question;
    byId("about").textContent = `${run.path} · ${run.model}`;
    byId("prompt").value = asked.prompt;
    byId("stored-label").hidden = !run.prompts.length;
    fill(byId("stored-prompt"), [["", "choose one"], ...run.prompts.map(([prompt, trait]) =>
      [prompt, prompt + (trait ? ` · ${trait}` : "")])], asked.prompt);
    byId("stages").replaceChildren(...run.stages.map((stage) => {
      const box = make("input", {
        type: "checkbox", name: "stage", value: stage.label, checked: asked.stages.includes(stage.label), disabled: Boolean(stage.gone),
      });
      return make("label", {}, box, make("span", { textContent: stage.label }),
        ...(stage.gone ? [make("span", { className: "gone", textContent: stage.gone })] : []));
    }));
    const names = run.directions.map((one) => [one.name, one.name]);
    byId("reading-fields").hidden = byId("change-fields").hidden = !names.length;
    if (names.length) {
      fill(byId("read-direction"), names, asked.reading.direction);
      fillLayers("read", asked.reading.layer);
      fill(byId("change-direction"), names, asked.change ? asked.change.direction : asked.reading.direction);
      fillLayers("change", asked.change ? asked.change.layer : undefined);
    }
    const phases = { response: "of the answer", prompt: "of the prompt", prompt_last: "the prompt’s last", all: "all" };
    fill(byId("phase"), Object.entries(phases), asked.change ? asked.change.phase : "response");
    byId("kind").value = asked.change ? asked.change.kind : "none";
    if (asked.change && asked.change.kind === "add") byId("alpha").value = byId("alpha-number").value = asked.change.alpha;
    byId("sampling").value = asked.temperature ? "sampled" : "greedy";
    if (asked.temperature) byId("temperature").value = asked.temperature;
    byId("seed").value = asked.seed;
    byId("max-new-tokens").value = asked.max_new_tokens;
    const known = ["task", "empty", "none"].includes(asked.system);
    byId("system").value = known ? asked.system : asked.system === "native" ? "task" : "words";
    if (byId("system").value === "words") byId("system-words").value = asked.system;
    fit();
  };
  // What cannot matter now is out of reach.
  const fit = () => {
    const kind = byId("kind").value;
    for (const id of ["change-direction", "change-layer", "phase"]) byId(id).disabled = kind === "none";
    byId("alpha").disabled = byId("alpha-number").disabled = kind === "ablate";
    byId("temperature").disabled = byId("seed").disabled = byId("sampling").value === "greedy";
    byId("system-words-label").hidden = byId("system").value !== "words";
  };
  const layerOf = (which) => {
    const layer = byId(`${which}-layer`).value;
    return layer === "all" ? layer : Number(layer);
  };
  const question = () => {
    const kind = byId("kind").value;
    const place = (which) => ({ direction: byId(`${which}-direction`).value, layer: layerOf(which) });
    const sampled = byId("sampling").value === "sampled";
    const system = byId("system").value;
    return {
      prompt: byId("prompt").value,
      stages: [...document.querySelectorAll("#stages input:checked")].map((box) => box.value),
      system: system === "words" ? byId("system-words").value || "empty" : system,
      reading: run.directions.length ? place("read") : null,
      change: kind === "none" || !run.directions.length ? null : {
        kind, ...place("change"), phase: byId("phase").value, ...(kind === "add" ? { alpha: Number(byId("alpha-number").value) } : {}),
      },
      max_new_tokens: Number(byId("max-new-tokens").value),
      temperature: sampled ? Number(byId("temperature").value) : 0,
      seed: sampled ? Number(byId("seed").value) : 0,
    };
  };

  // The scale: signed, around a middle, one for all answers. Edited answers do not set its reach: they may be far out.
  const valuesOf = (some) => some.flatMap((column) => column.pieces.map(([, value]) => value)).filter((value) => value !== null);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const scaleOf = () => {
    const plain = columns.filter((column) => !column.change);
    const first = valuesOf(plain.slice(0, 1));
    const middle = byId("middle").value === "first" && first.length ? mean(first) : 0;
    const away = valuesOf(plain).map((value) => Math.abs(value - middle)).sort((a, b) => a - b);
    return { middle, ofFirst: byId("middle").value === "first", reach: away.length ? away[Math.floor(0.98 * (away.length - 1))] || 1 : 1 };
  };
  const paint = (element, value, scale) => {
    for (const name of ["--hue", "--wash", "--up", "--down"]) element.style.removeProperty(name);
    if (value === null) return;
    const part = Math.max(-1, Math.min(1, (value - scale.middle) / scale.reach));
    element.style.setProperty("--hue", part < 0 ? "var(--below)" : "var(--above)");
    element.style.setProperty("--wash", (0.62 * Math.abs(part)).toFixed(3));
    element.style.setProperty(part < 0 ? "--down" : "--up", (5 * Math.abs(part)).toFixed(2));
  };
  const drawLegend = (scale) => {
    byId("scale").hidden = !shown.reading;
    if (!shown.reading) return;
    const at = [-1, -0.5, 0, 0.5, 1].map((part) => scale.middle + part * scale.reach);
    byId("legend").replaceChildren(...at.map((value, i) => {
      const swatch = make("span", { className: "swatch" });
      paint(swatch, value, scale);
      return make("span", {}, swatch, (i === 0 ? "≤ " : i === 4 ? "≥ " : "") + number(value));
    }));
    const { direction, layer } = shown.reading;
    const own = run.directions.find((one) => one.name === direction);
    const length = own.norms[own.layers.indexOf(layer)];
    const centre = scale.ofFirst && columns.length ? `the mean over the first answer (${columns[0].stage})` : "zero";
    byId("scale-words").textContent = `Projection on ${direction} after layer ${layer}, in residual-stream norm; the middle is ${centre}. `
      + `The direction itself is ${length.toPrecision(3)} long.`;
    byId("legend").setAttribute("aria-label", `Scale: from ${number(at[0])} or less, over ${number(at[2])}, which is ${centre}, to ${number(at[4])} or more`);
  };

  // Columns and their tokens.
  const nameOf = (column) => column.stage + (column.change ? `, ${column.change}` : "");
  const about = (column, i) => {
    const [text, value] = column.pieces[i];
    return `token ${i + 1} of ${column.pieces.length}, ${quoted(text)}${shown.reading ? `: ${number(value)}` : ""}`;
  };
  const begin = ({ column: i, stage, change }) => {
    let column = columns[i];
    if (!column || column.stage !== stage || Boolean(column.change) !== Boolean(change)) {
      const heading = make("h3", { id: `column-${i}` });
      const summary = make("p", { className: "quiet summary" });
      const box = make("div", { className: "tokens" });
      box.setAttribute("role", "listbox");
      box.setAttribute("aria-orientation", "horizontal");
      box.setAttribute("aria-describedby", "token-help");
      box.dir = "auto";
      const article = make("article", { className: "column" }, heading, summary, box);
      article.setAttribute("aria-labelledby", heading.id);
      column = { heading, summary, box, article, pieces: [] };
      if (columns[i]) columns[i].article.replaceWith(article);
      else byId("columns").append(article);
      columns[i] = column;
    }
    Object.assign(column, { stage, change, end: null });
    column.article.className = `column stale${change ? " changed" : ""}`;
    column.heading.replaceChildren(stage, make("span", { className: "change quiet", textContent: change || "as it is" }));
    column.box.setAttribute("aria-label", `Tokens of ${nameOf(column)}`);
    column.summary.textContent = "answering …";
    say(`${nameOf(column)}: answering`);
  };
  const grow = ({ column: i, first, pieces }) => {
    const column = columns[i];
    const { box } = column;
    const focused = [...box.children].indexOf(document.activeElement);
    column.article.classList.remove("stale");
    column.pieces.splice(first, column.pieces.length, ...pieces);
    while (box.children.length > column.pieces.length) box.lastChild.remove();
    column.pieces.slice(first).forEach(([text], k) => {
      let token = box.children[first + k];
      if (!token) {
        token = make("span", { tabIndex: -1 });
        token.setAttribute("role", "option");
        token.setAttribute("aria-selected", "false");
        box.append(token);
      }
      const words = text.replace(/\n/g, "⏎\n");
      if (token.textContent !== words) token.textContent = words;
    });
    if (box.firstChild && !box.querySelector("[tabindex='0']")) box.firstChild.tabIndex = 0;
    if (focused >= box.children.length && box.lastChild) box.lastChild.focus();
    redraw();
  };
  let waits = false;
  const redraw = () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      draw();
    });
  };
  const draw = () => {
    if (!shown) return;
    const scale = scaleOf();
    drawLegend(scale);
    for (const column of columns) {
      [...column.box.children].forEach((token, i) => {
        paint(token, column.pieces[i][1], scale);
        token.setAttribute("aria-label", about(column, i));
        token.title = shown.reading ? `${number(column.pieces[i][1])} along ${shown.reading.direction}, layer ${shown.reading.layer}` : "";
      });
    }
  };
  const end = (event) => {
    const column = columns[event.column];
    column.end = event;
    const words = [`${event.tokens} tokens${event.cut ? ", cut at the limit" : ""}`];
    if (event.mean !== null) words.push(`mean ${number(event.mean)}`);
    if (event.relative_strength !== null) words.push(`relative strength ${number(event.relative_strength)}`);
    if (!event.tokens) words[0] = "an empty answer";
    column.summary.textContent = words.join(" · ");
  };
  const trim = (n) => {
    for (const column of columns.splice(n)) column.article.remove();
    byId("columns").classList.toggle("pairs", Boolean(shown && shown.change));
  };

  // Asking.
  const HEARD = { begin, pieces: grow, end, waiting: () => say("Waiting: the model is answering someone else."), error: ({ message }) => complain(message) };
  const lines = async function* (body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts.map((part) => JSON.parse(part));
    }
  };
  const post = (path, value, signal) =>
    fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value), signal });
  const ask = async () => {
    const asked = question();
    if (!asked.stages.length) {
      complain("No stage is chosen to answer; choose one or more.");
      return;
    }
    if (asking) asking.abort();
    const own = (asking = new AbortController());
    complain("");
    say("Asking …");
    shown = asked;
    trim(asked.stages.length * (asked.change ? 2 : 1));
    for (const column of columns) column.article.classList.add("stale");
    byId("copied").hidden = true;
    byId("copy").hidden = byId("token-status").hidden = false;
    byId("stop").disabled = false;
    byId("columns").setAttribute("aria-busy", "true");
    showStored(asked.prompt);
    let whole = false;
    try {
      const reply = await post("answers", asked, own.signal);
      if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).error ?? `the server refused this (${reply.status})`);
      for await (const event of lines(reply.body)) {
        if (own !== asking) return;
        whole = event.event === "done" || whole;
        HEARD[event.event]?.(event);
      }
      if (!whole) throw new Error("the answer broke off; is `sgtr open` still running?");
      say(byId("error").hidden ? `All ${columns.length} answers are there.` : "Not all answers are there.");
    } catch (error) {
      if (own !== asking) return;
      if (own.signal.aborted) say("Stopped.");
      else {
        complain(error instanceof TypeError ? "The server cannot be reached; is `sgtr open` still running?" : error.message);
        say("");
      }
    } finally {
      if (own === asking) {
        asking = null;
        byId("stop").disabled = true;
        byId("columns").setAttribute("aria-busy", "false");
        for (const column of columns) {
          column.article.classList.remove("stale");
          if (!column.end) column.summary.textContent = "not finished";
        }
      }
    }
  };
  const again = () => {
    fit();
    if (shown && byId("ask").checkValidity()) ask();
  };

  // Copies of what is on the screen.
  const copy = async (which, words) => {
    try {
      const reply = await post("copies", shown);
      const value = await reply.json();
      if (!reply.ok) throw new Error(value.error);
      byId("copied").textContent = value[which];
      byId("copied").hidden = false;
      await navigator.clipboard.writeText(value[which]).then(() => say(`Copied as ${words}.`), () => say(`The ${words} is below, to be copied by hand.`));
    } catch (error) {
      complain(error.message);
    }
  };

  // What the study stored.
  let storedPrompt = null;
  const showStored = async (prompt) => {
    if (prompt === storedPrompt) return;
    storedPrompt = prompt;
    const reply = await fetch(`stored.json?prompt=${encodeURIComponent(prompt)}`).catch(() => null);
    if (!reply || !reply.ok || prompt !== storedPrompt) return;
    const { answers, left_out: leftOut } = await reply.json();
    byId("stored-about").textContent = !answers.length ? "The study did not ask this."
      : `${answers.length} answers, sampled as the study says${leftOut ? `; ${leftOut} more are in records/answers.jsonl` : ""}.`;
    byId("stored-list").replaceChildren(...answers.map((one) => make("div", {},
      make("dt", { textContent: one.stage + (one.system ? ` · ${one.system}` : "") }),
      make("dd", { textContent: one.text || "(an empty answer)" }),
      ...(one.degenerate ? [make("dd", { className: "quiet", textContent: "degenerate" })] : []))));
  };
  const drawStored = () => {
    byId("no-verdicts").hidden = run.verdicts.length > 0;
    byId("verdict-scroll").hidden = !run.verdicts.length;
    byId("verdicts").open = run.verdicts.length > 0;
    byId("verdict-rows").replaceChildren(...run.verdicts.map((row) => {
      const name = make("th", { scope: "row" }, `${row.id} ${row.title}`);
      name.title = row.statement;
      return make("tr", {}, name, ...[row.verdict, `${row.effect} ${row.unit}`.trim(), row.n, row.why].map((textContent) => make("td", { textContent })));
    }));
    byId("no-figures").hidden = run.figures.length > 0;
    byId("figure-list").replaceChildren(...run.figures.map(({ name, title }) => make("figure", {},
      make("figcaption", { textContent: title }), make("img", { src: `figures/${encodeURIComponent(name)}`, alt: title, loading: "lazy" }))));
    showStored(byId("prompt").value);
  };

  // Moving over tokens, by pointer and by keys.
  const placeOf = (element) => {
    const column = columns.find((one) => one.box === element.parentElement);
    return column ? [column, [...column.box.children].indexOf(element)] : null;
  };
  const tell = (event) => {
    const at = placeOf(event.target);
    if (at) byId("token-status").textContent = `${nameOf(at[0])}: ${about(...at)}`;
  };
  const nearest = (tokens, i, step) => {
    const here = tokens[i].getClientRects()[0];
    let best = i;
    let least = Infinity;
    for (let j = i + step; j >= 0 && j < tokens.length; j += step) {
      const there = tokens[j].getClientRects()[0];
      const down = (there.top - here.top) * step;
      if (down < here.height / 2) continue;
      const far = Math.abs(there.left - here.left) + 10 * down;
      if (far < least) [best, least] = [j, far];
      else if (down > 3 * here.height) break;
    }
    return best;
  };
  const move = (event) => {
    const at = placeOf(event.target);
    if (!at || event.ctrlKey || event.altKey || event.metaKey) return;
    const tokens = [...at[0].box.children];
    const i = at[1];
    const to = {
      ArrowRight: () => Math.min(i + 1, tokens.length - 1), ArrowLeft: () => Math.max(i - 1, 0),
      ArrowDown: () => nearest(tokens, i, 1), ArrowUp: () => nearest(tokens, i, -1), Home: () => 0, End: () => tokens.length - 1,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    focusOn(tokens, to());
  };
  const focusOn = (tokens, i) => {
    for (const token of tokens) {
      token.tabIndex = -1;
      token.setAttribute("aria-selected", "false");
    }
    tokens[i].tabIndex = 0;
    tokens[i].setAttribute("aria-selected", "true");
    tokens[i].focus();
  };

  const listen = () => {
    const box = byId("columns");
    box.addEventListener("focusin", tell);
    box.addEventListener("pointerover", tell);
    box.addEventListener("keydown", move);
    box.addEventListener("click", (event) => {
      const at = placeOf(event.target);
      if (at) focusOn([...at[0].box.children], at[1]);
    });
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      ask();
      if (byId("answers").getBoundingClientRect().top > innerHeight) byId("answers").scrollIntoView();
    });
    byId("prompt").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
    });
    byId("stop").addEventListener("click", () => asking && asking.abort());
    byId("stored-prompt").addEventListener("change", (event) => {
      if (event.target.value) byId("prompt").value = event.target.value;
      showStored(byId("prompt").value);
    });
    byId("prompt").addEventListener("change", () => showStored(byId("prompt").value));
    for (const which of ["read", "change"]) {
      byId(`${which}-direction`).addEventListener("change", () => {
        fillLayers(which);
        again();
      });
      byId(`${which}-layer`).addEventListener("change", again);
    }
    byId("middle").addEventListener("change", draw);
    for (const id of ["kind", "phase"]) byId(id).addEventListener("change", again);
    for (const id of ["sampling", "system"]) byId(id).addEventListener("change", fit);
    const strengthen = (from, to) => {
      byId(to).value = byId(from).value;
      if (byId("kind").value === "none") byId("kind").value = "add";
      fit();
    };
    byId("alpha").addEventListener("input", () => strengthen("alpha", "alpha-number"));
    byId("alpha-number").addEventListener("input", () => strengthen("alpha-number", "alpha"));
    for (const id of ["alpha", "alpha-number"]) byId(id).addEventListener("change", again);
    byId("copy-python").addEventListener("click", () => copy("python", "Python"));
    byId("copy-command").addEventListener("click", () => copy("command", "command"));
  };

  const start = async () => {
    try {
      const reply = await fetch("run.json");
      if (!reply.ok) throw new Error(await reply.text());
      run = await reply.json();
      drawForm();
      drawStored();
      listen();
    } catch (error) {
      complain(`The run cannot be shown: ${error.message}`);
    }
  };
  start();
})();
