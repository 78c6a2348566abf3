// SPDX-License-Identifier: MIT
// A form that calls POST /api while you type. Without JavaScript in the browser it is an ordinary
// form: the server computes the answer into the page.
import { useEffect, useRef, useState } from "react";
import { callApi } from "./api.js";

const ROWS = [
  ["cipher", "letters, three on"],
  ["hash", "FNV-1a, 32 bits"],
  ["base64", "of the cipher"],
];

export function Playground({ text: initial, result: first }) {
  const [text, setText] = useState(initial);
  const [answer, setAnswer] = useState({ result: first });
  const [problem, setProblem] = useState("");
  const typed = useRef(false);

  useEffect(() => {
    if (!typed.current) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        setAnswer(await callApi(text, abort.signal));
        setProblem("");
      } catch (error) {
        if (!abort.signal.aborted) setProblem(error.message);
      }
    }, 60);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text]);

  const onType = (event) => {
    typed.current = true;
    setText(event.target.value);
  };

  return (
    <section id="try" aria-labelledby="try-title">
      <h2 id="try-title">
        Call <code>process(data)</code>
      </h2>
      <div className="panel split">
        <form action="/#try" method="get">
          <label htmlFor="data">Your text</label>
          <textarea
            id="data"
            name="data"
            rows="4"
            maxLength="400"
            spellCheck="false"
            value={text}
            onChange={onType}
          />
          <p className="hint">
            Every key press is a <code>POST /api</code>; the function is JavaScript, the route is
            FastAPI.
          </p>
          <noscript>
            <button type="submit">Compute</button>
          </noscript>
        </form>
        <div>
          <dl className="results" aria-live="polite">
            {ROWS.map(([name, note]) => (
              <div key={name}>
                <dt>
                  {name} <small>{note}</small>
                </dt>
                <dd>{name === "hash" ? hex(answer.result.hash) : answer.result[name] || "\u00a0"}</dd>
              </div>
            ))}
          </dl>
          <p className="hint" role="status">
            {problem ||
              (answer.worker
                ? `worker ${answer.worker} · ${answer.micros} µs in JavaScript · ${answer.trip} ms there and back`
                : "computed with the page")}
          </p>
        </div>
      </div>
    </section>
  );
}

const hex = (number) => "0x" + number.toString(16).padStart(8, "0");
