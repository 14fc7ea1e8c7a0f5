// The pad: draw a digit, ask the model, say whether it was right. Speaks to the same doors as any program.
"use strict";

(() => {
  const pad = document.querySelector("[data-pad]");
  if (!pad) return;
  const canvas = pad.querySelector("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const answer = pad.querySelector("[data-answer]");
  const verdict = pad.querySelector("[data-verdict]");
  const labelField = pad.querySelector("[data-label-field]");
  const height = Number(pad.dataset.height);
  const width = Number(pad.dataset.width);
  const csrf = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  let exact = null; // an example's own pixels, as long as nobody has drawn over it
  let last = null;
  let prediction = null;

  const clear = () => {
    context.fillStyle = "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
    exact = null;
    verdict.hidden = true;
    say("Draw, and ask.");
  };

  const say = (text) => {
    const line = document.createElement("p");
    line.className = "soft";
    line.textContent = text;
    answer.replaceChildren(line);
  };

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (exact) clear();
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last) stroke(place(event));
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });

  const stroke = (to) => {
    context.strokeStyle = "white";
    context.lineWidth = canvas.width / 13;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    last = to;
  };

  // As the training pictures were made: the drawing fits the inner five sevenths, its centre of mass in the middle.
  const pixels = () => {
    if (exact) return exact;
    const grey = greys(context.getImageData(0, 0, canvas.width, canvas.height).data);
    const box = bounds(grey);
    if (!box) return null;
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, height];
    const ink = small.getContext("2d", { willReadFrequently: true });
    ink.imageSmoothingQuality = "high";
    const scale = Math.min((width * 5) / 7 / (box.right - box.left), (height * 5) / 7 / (box.bottom - box.top));
    ink.fillStyle = "black";
    ink.fillRect(0, 0, width, height);
    const left = width / 2 - (box.x - box.left) * scale;
    const top = height / 2 - (box.y - box.top) * scale;
    ink.drawImage(canvas, box.left, box.top, box.right - box.left, box.bottom - box.top,
      left, top, (box.right - box.left) * scale, (box.bottom - box.top) * scale);
    return greys(ink.getImageData(0, 0, width, height).data);
  };

  const greys = (data) => {
    const found = new Array(data.length / 4);
    for (let i = 0; i < found.length; i += 1) found[i] = data[4 * i];
    return found;
  };

  const bounds = (grey) => {
    const box = { left: canvas.width, top: canvas.height, right: 0, bottom: 0, x: 0, y: 0 };
    let mass = 0;
    grey.forEach((value, index) => {
      if (value < 16) return;
      const [x, y] = [index % canvas.width, Math.floor(index / canvas.width)];
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
      box.x += x * value;
      box.y += y * value;
      mass += value;
    });
    if (!mass) return null;
    box.x /= mass;
    box.y /= mass;
    return box;
  };

  const send = async (path, body) => {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
      body: JSON.stringify(body),
    });
    const found = await response.json();
    if (!response.ok) throw new Error(found.detail || found.title || `The answer was ${response.status}.`);
    return found;
  };

  const predict = async () => {
    const values = pixels();
    if (!values) return say("There is nothing on the pad yet.");
    say("Asking…");
    verdict.hidden = true;
    try {
      prediction = await send(pad.dataset.predict, { inputs: [values] });
      show(prediction);
    } catch (error) {
      say(error.message);
    }
    return null;
  };

  const show = (found) => {
    const output = found.outputs[0];
    const told = document.createElement("p");
    told.className = "told";
    told.textContent = output.label;
    const sure = document.createElement("p");
    sure.textContent = `${(output.confidence * 100).toFixed(1)} % sure, in ${found.device_ms} ms of device time`;
    const list = document.createElement("ol");
    list.className = "ranked";
    for (const one of output.top) {
      const row = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = one.label;
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = one.probability;
      bar.setAttribute("aria-label", `Probability of ${one.label}`);
      const figure = document.createElement("span");
      figure.className = "number";
      figure.textContent = `${(one.probability * 100).toFixed(1)} %`;
      row.append(name, bar, figure);
      list.append(row);
    }
    answer.replaceChildren(told, sure, list);
    verdict.hidden = false;
    labelField.hidden = true;
  };

  const judge = async (body) => {
    try {
      await send(`/v1/predictions/${prediction.id}/feedback`, body);
      verdict.hidden = true;
      const line = document.createElement("p");
      line.textContent = "Thank you, that is kept.";
      answer.append(line);
    } catch (error) {
      say(error.message);
    }
  };

  const load = async () => {
    const number = Number(document.getElementById("sample").value);
    if (!(number >= 0 && number < Number(pad.dataset.rows))) return say(`Choose from 0 to ${Number(pad.dataset.rows) - 1}.`);
    const picture = new Image();
    picture.src = `${pad.dataset.samples}${number}`;
    try {
      await picture.decode();
    } catch {
      return say("That example could not be loaded.");
    }
    clear();
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, height];
    const ink = small.getContext("2d", { willReadFrequently: true });
    ink.drawImage(picture, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    exact = greys(ink.getImageData(0, 0, width, height).data);
    return predict();
  };

  pad.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const act = button.dataset.act;
    if (act === "clear") clear();
    else if (act === "predict") predict();
    else if (act === "sample") load();
    else if (act === "label") judge({ correct: false, label: document.getElementById("right-label").value });
    else if (button.dataset.correct === "true") judge({ correct: true });
    else if (button.dataset.correct === "false") labelField.hidden = false;
  });
  clear();
})();
