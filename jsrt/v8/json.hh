/* SPDX-License-Identifier: MIT
 *
 * json.hh: results as JSON text.
 */
#ifndef JSRT_V8_JSON_HH
#define JSRT_V8_JSON_HH

#include "exception.hh"

namespace jsv8
{

/* JSON.stringify(value) in UTF-8 as JSV8_BYTES in iso->scratch; "null" where JavaScript's answer is
 * undefined (of undefined, a function or a symbol), as inside an array. May run JavaScript. */
jsv8_status_t json_from_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value,
                           jsv8_value_t *out, jsv8_error_t *error);

/* JSON text to a value; JSV8_CONVERSION where it is not JSON. */
jsv8_status_t json_to_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::String> text,
                         v8::Local<v8::Value> *out, jsv8_error_t *error);

}   // namespace jsv8
#endif
