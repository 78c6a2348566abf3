// SPDX-License-Identifier: MIT
// Sends a burst of calls, six at a time as browsers do, and shows which worker answered each.
import { useState } from "react";
import { callApi } from "./api.js";

const CALLS = 120;
const AT_ONCE = 6;

export function Workers({ first }) {
  const [counts, setCounts] = useState({ [first]: 1 });
  const [summary, setSummary] = useState("");
  const [busy, setBusy] = useState(false);

  const burst = async () => {
    setBusy(true);
    const times = [];
    let left = CALLS;
    const one = async () => {
      while (left-- > 0) {
        const { worker, micros } = await callApi("The quick brown fox jumps over the dogs!");
        times.push(micros);
        setCounts((old) => ({ ...old, [worker]: (old[worker] ?? 0) + 1 }));
      }
    };
    const start = performance.now();
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, one));
      const took = performance.now() - start;
      times.sort((a, b) => a - b);
      setSummary(
        `${CALLS} calls in ${took.toFixed(0)} ms · median ${times[times.length >> 1]} µs in JavaScript`,
      );
    } catch (error) {
      setSummary(error.message);
    }
    setBusy(false);
  };

  const most = Math.max(...Object.values(counts));
  return (
    <section id="workers" aria-labelledby="workers-title">
      <h2 id="workers-title">Who answers</h2>
      <div className="panel">
        <ul className="bars">
          {Object.entries(counts).map(([pid, count]) => (
            <li key={pid}>
              <span className="pid">{pid}</span>
              <span className="bar">
                <span style={{ width: `${(count / most) * 100}%` }} />
              </span>
              <span className="count">{count}</span>
            </li>
          ))}
        </ul>
        <div className="row">
          <button type="button" onClick={burst} disabled={busy}>
            Send {CALLS} calls
          </button>
          <p className="hint" role="status">
            {summary || "Each worker is a process with an event loop and an isolate of its own."}
          </p>
        </div>
      </div>
    </section>
  );
}
