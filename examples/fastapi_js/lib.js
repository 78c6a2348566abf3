// SPDX-License-Identifier: MIT
// A small "crypto library" in plain ECMAScript: no module system, no Web API, so that it runs in
// every profile. Evaluated by `--js lib.js`; `process` is what the application calls.

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Shifts the letters A-Z and a-z by `by` places round their alphabet. */
function shiftLetters(text, by) {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const base = unit >= 97 && unit <= 122 ? 97 : unit >= 65 && unit <= 90 ? 65 : 0;
    out += base === 0 ? text[i] : String.fromCharCode(base + ((((unit - base + by) % 26) + 26) % 26));
  }
  return out;
}

/** The bytes of `text` in UTF-8, as an array; a lone surrogate throws. */
function utf8(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code < 0x80) {
      bytes.push(code);
    } else if (code < 0x800) {
      bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    } else if (code < 0x10000) {
      if (code >= 0xd800 && code <= 0xdfff) throw new URIError("lone surrogate in data");
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    } else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63));
      bytes.push(0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
  }
  return bytes;
}

/** FNV-1a over bytes: an unsigned 32-bit number. */
function hash32(bytes) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}

/** Base64 with padding, as RFC 4648 has it. */
function base64(bytes) {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const word = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += BASE64[word >> 18] + BASE64[(word >> 12) & 63];
    out += i + 1 < bytes.length ? BASE64[(word >> 6) & 63] : "=";
    out += i + 2 < bytes.length ? BASE64[word & 63] : "=";
  }
  return out;
}

/** What the API serves: the cipher, the hash and the base64 form of one text. */
function process(data) {
  if (typeof data !== "string") throw new TypeError("data must be a string");
  const cipher = shiftLetters(data, 3);
  const bytes = utf8(cipher);
  return { cipher, hash: hash32(bytes), base64: base64(bytes) };
}
