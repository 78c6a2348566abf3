// SPDX-License-Identifier: MIT
// Code that misbehaves in three ways, for the routes that show how each one ends.

function spin() {
  for (;;);
}

function hoard() {
  const kept = [];
  for (let i = 0; ; i++) kept.push(new Array(10000).fill(i));
}

function dive(depth) {
  return dive(depth + 1) + 1;
}
