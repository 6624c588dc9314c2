"use strict";
(() => {
  const model = JSON.parse(document.getElementById("model").textContent);
  const element = (id) => document.getElementById(id);
  const MOST_SEED = 2 ** 32; // seeds are 32 bits
  const AT_ONCE = 4; // faces, between which the page stays responsive

  // mulberry32, a generator of 32 bits of state by Tommy Ettinger (public domain): numbers in [0, 1).
  const uniforms = (seed) => {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / MOST_SEED;
    };
  };

  // Box and Muller's transform: two uniform numbers to two standard normal ones.
  const normals = (next) => {
    let spare = null;
    return () => {
      if (spare !== null) {
        const kept = spare;
        spare = null;
        return kept;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - next())), angle = 2 * Math.PI * next();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
  };

  // The latents of one face, and of its label where labels are as in training: both from its seed.
  const draw = (seed, chosen) => {
    const next = uniforms(seed), normal = model.latent.distribution === "normal";
    const number = normal ? normals(next) : () => 2 * next() - 1;
    const latents = Float32Array.from({ length: model.latent.size }, number);
    return { latents, labels: model.labels && (chosen || drawn(next)) };
  };

  // A combination of labels, as frequent as among the training images.
  const drawn = (next) => {
    const { sets, counts } = model.labels;
    let left = next() * counts.reduce((sum, count) => sum + count, 0);
    const found = counts.findIndex((count) => (left -= count) < 0);
    return oneHot(sets[found < 0 ? sets.length - 1 : found]);
  };

  const oneHot = (columns) => {
    const label = new Float32Array(model.labels.names.length);
    columns.forEach((column) => { label[column] = 1; });
    return label;
  };

  // What the form says about labels: null for those of training.
  const chosenLabels = () => {
    if (!model.labels) return null;
    if (model.labels.kind === "class") return element("class").value === "" ? null : oneHot([Number(element("class").value)]);
    if (element("as-trained").checked) return null;
    return oneHot([...document.querySelectorAll(".attribute:checked")].map((box) => Number(box.value)));
  };

  let runtime = null, session = null, queue = Promise.resolve(), wanted = 0;

  const load = async () => {
    runtime = await import(model.script);
    runtime.env.wasm.wasmPaths = { wasm: new URL(model.wasm, location.href).href };
    runtime.env.wasm.numThreads = 1; // more need headers that a plain server does not send
    session = await runtime.InferenceSession.create(model.file, { executionProviders: ["wasm"] });
  };

  const run = async (latents, labels, truncation) => {
    const count = latents.length / model.latent.size;
    const feeds = { latents: new runtime.Tensor("float32", latents, [count, model.latent.size]) };
    if (model.labels) feeds.labels = new runtime.Tensor("float32", labels, [count, model.labels.names.length]);
    else feeds.truncation = new runtime.Tensor("float32", Float32Array.of(truncation), [1]);
    return (await session.run(feeds)).images.data;
  };

  // Images in [-1, 1], float32 (count x 3 x size x size), of as many latents in a row, and of as many labels or of a
  // truncation in [0, 1]. A session does one thing at a time, so calls wait for each other.
  const generate = (latents, labels, truncation = 1) => {
    const images = queue.then(() => run(latents, labels, truncation));
    queue = images.catch(() => null);
    return images;
  };

  // RGBA pixels of one image: rounded to even, and clipped.
  const pixels = (images, index) => {
    const area = model.size ** 2, start = 3 * area * index;
    const found = new Uint8ClampedArray(4 * area).fill(255);
    for (let place = 0; place < area; place++) {
      for (let colour = 0; colour < 3; colour++) {
        const value = images[start + colour * area + place];
        found[4 * place + colour] = Math.fround(Math.fround(value + 1) * 127.5);
      }
    }
    return found;
  };

  const join = (parts, length) => {
    const all = new Float32Array(parts.length * length);
    parts.forEach((part, index) => all.set(part, index * length));
    return all;
  };

  const say = (text, error = false) => {
    element("status").textContent = text;
    element("status").classList.toggle("error", error);
  };

  const tile = (seed) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.className = "face";
    button.setAttribute("aria-label", `Save the face of seed ${seed}`);
    canvas.width = canvas.height = model.size;
    canvas.classList.toggle("small", model.size <= 64);
    button.append(canvas, `seed ${seed}`);
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.download = `${model.name}-${seed}.png`;
      link.href = canvas.toDataURL("image/png");
      link.click();
    });
    return button;
  };

  const show = async () => {
    if (!session || !element("controls").reportValidity()) return;
    const turn = ++wanted; // a later call makes this one stop
    const first = Number(element("seed").value), count = Number(element("count").value);
    const truncation = model.labels ? 1 : Number(element("truncation").value), chosen = chosenLabels();
    const seeds = Array.from({ length: count }, (_, index) => (first + index) % MOST_SEED);
    const faces = element("faces"), shown = [...faces.children];
    const started = performance.now();
    const tiles = seeds.map(tile);
    // The former faces stay until theirs are there, so that nothing flickers.
    if (shown.length !== count) faces.replaceChildren(...tiles);
    try {
      for (let start = 0; start < count; start += AT_ONCE) {
        const some = seeds.slice(start, start + AT_ONCE).map((seed) => draw(seed, chosen));
        const labels = model.labels ? join(some.map((one) => one.labels), model.labels.names.length) : null;
        const images = await generate(join(some.map((one) => one.latents), model.latent.size), labels, truncation);
        if (turn !== wanted) return;
        some.forEach((_, index) => {
          const face = tiles[start + index];
          face.firstChild.getContext("2d").putImageData(new ImageData(pixels(images, index), model.size), 0, 0);
          if (!face.isConnected) faces.children[start + index].replaceWith(face);
        });
        await new Promise((resolve) => setTimeout(resolve));
      }
    } catch (error) {
      say(`The faces could not be made: ${error.message}`, true);
      return;
    }
    const time = performance.now() - started;
    say(`${count} ${count === 1 ? "face" : "faces"} in ${time < 1000 ? `${time.toFixed(0)} ms` : `${(time / 1000).toFixed(1)} s`}.`);
    document.body.dataset.shown = turn;
  };

  element("controls").addEventListener("submit", (event) => { // Enter in a field
    event.preventDefault();
    show();
  });
  element("next").addEventListener("click", () => {
    element("seed").value = (Number(element("seed").value) + Number(element("count").value)) % MOST_SEED;
    show();
  });
  element("truncation")?.addEventListener("input", () => {
    const value = Number(element("truncation").value);
    element("truncation-value").textContent = value < 1 ? value.toFixed(2) : "1.00, off";
  });
  element("controls").addEventListener("change", (event) => {
    if (event.target.classList.contains("attribute")) element("as-trained").checked = false;
    if (event.target.id === "as-trained" && event.target.checked) {
      document.querySelectorAll(".attribute").forEach((box) => { box.checked = false; });
    }
    show();
  });

  const begin = async () => {
    if (location.protocol === "file:") {
      say("A browser does not load the generator from a file. Run python -m http.server --bind 127.0.0.1 in this folder, and open http://127.0.0.1:8000.", true);
      return;
    }
    try {
      await load();
    } catch (error) {
      say(`The generator could not be loaded: ${error.message}`, true);
      return;
    }
    element("next").disabled = false;
    await show();
  };

  window.celebaGan = { model, draw, generate, pixels, ready: begin() }; // for tests, and for your own experiments
})();
