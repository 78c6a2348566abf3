// SPDX-License-Identifier: MIT
// The page: what this response cost, a form that calls the API, and who answers.
import { Playground } from "./playground.jsx";
import { Workers } from "./workers.jsx";

export function Page({ answer, steps, cards, text, result }) {
  return (
    <>
      <header className="top">
        <a className="mark" href="/">
          casgi
        </a>
        <nav aria-label="Sections">
          <a href="#try">Try it</a>
          <a href="#workers">Workers</a>
          <a href="#how">How it works</a>
        </nav>
      </header>
      <main>
        <section className="hero">
          <div>
            <p className="kicker">React, rendered inside a Python server</p>
            <h1>
              One loop.
              <br />
              <span className="py">Python</span> <i>and</i> <span className="js">JavaScript</span>.
            </h1>
            <p className="lead">
              A FastAPI handler called <code>react-dom/server</code> to make this page: a function
              call into V8 on the thread that accepted your connection. No Node.js process beside
              it, no queue and no socket in between.
            </p>
          </div>
          <Answer {...answer} />
        </section>
        <Playground text={text} result={result} />
        <Workers first={answer.worker} />
        <section id="how" aria-labelledby="how-title">
          <h2 id="how-title">The way of this request</h2>
          <ol className="steps">
            {steps.map((step) => (
              <li key={step.name} className={step.side}>
                <b>{step.name}</b>
                <span>{step.does}</span>
              </li>
            ))}
          </ol>
          <ul className="cards">
            {cards.map((card) => (
              <li key={card.title} className="card">
                <h3>{card.title}</h3>
                <p>{card.text}</p>
                <code>{card.code}</code>
              </li>
            ))}
          </ul>
        </section>
      </main>
      <footer>
        <p>
          Python {answer.python} · V8 {answer.v8} · Node.js {answer.node} · React {answer.react}
        </p>
      </footer>
    </>
  );
}

/** What this very response cost and who made it. */
function Answer({ micros, worker, isolate, renders, v8 }) {
  return (
    <aside className="answer" aria-label="This response">
      <p className="label">This page was rendered in</p>
      <p className="figure">
        {micros}
        <small> µs</small>
      </p>
      <dl>
        <div>
          <dt>worker process</dt>
          <dd>{worker}</dd>
        </div>
        <div>
          <dt>isolate</dt>
          <dd>{isolate}</dd>
        </div>
        <div>
          <dt>pages from this isolate</dt>
          <dd>{renders}</dd>
        </div>
        <div>
          <dt>V8</dt>
          <dd>{v8.split("-")[0]}</dd>
        </div>
      </dl>
      <a className="again" href="/">
        Render it again
      </a>
    </aside>
  );
}
