// SPDX-License-Identifier: MIT
/** Calls POST /api; adds `trip`, the milliseconds there and back. */
export async function callApi(data, signal) {
  const start = performance.now();
  const response = await fetch("/api", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ data }),
    signal,
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error?.message ?? `status ${response.status}`);
  return { ...answer, trip: (performance.now() - start).toFixed(1) };
}
