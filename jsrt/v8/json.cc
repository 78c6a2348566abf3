/* SPDX-License-Identifier: MIT
 *
 * json.cc: V8's own JSON parser and writer, for arguments that Python wrote as JSON (tree.c) and
 * for calls that take and give JSON (json.c), which then cost no Python object but two bytes.
 *
 * Called by value.cc only. V8's functions are used, not what JavaScript may have put in place of
 * JSON.parse and JSON.stringify; toJSON() is honoured.
 */
#include "json.hh"

#include <string.h>

#include <charconv>
#include <string>

#include "text.hh"
#include "value.hh"

namespace jsv8
{

namespace
{

/* What V8 answers in place of undefined; no JSON text begins with u. */
constexpr size_t kUndefinedLength = 9;

}   // namespace

jsv8_status_t
json_to_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::String> text, v8::Local<v8::Value> *out,
           jsv8_error_t *error)
{
    v8::TryCatch caught(iso->v8);
    if (v8::JSON::Parse(entry.context(), text).ToLocal(out)) {
        return JSV8_OK;
    }
    jsv8_status_t status = caught_status(iso, entry, caught, error);
    if (status != JSV8_EXCEPTION) {
        return status;
    }
    std::string why = error->message;
    return fail_format(iso, error, JSV8_CONVERSION, "this is not JSON: %s", why.c_str());
}

jsv8_status_t
json_from_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_value_t *out,
             jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::TryCatch caught(v8);
    v8::Local<v8::String> text;
    out->tag = JSV8_UNDEFINED;
    if (!v8::JSON::Stringify(entry.context(), value).ToLocal(&text)) {
        return caught_status(iso, entry, caught, error);
    }
    size_t length = utf8_length(v8, text);
    char *to = iso->scratch.reserve(length);
    if (to == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    if (length == static_cast<size_t>(text->Length())) {
        write_latin1(v8, text, reinterpret_cast<uint8_t *>(to), text->Length()); /* all ASCII */
    } else {
        length = write_utf8(v8, text, to, length);
    }
    if (length == kUndefinedLength && to[0] == 'u') {
        length = strlen("null");
        memcpy(to, "null", length);
    }
    out->tag = JSV8_BYTES;
    out->u.text.data = to;
    out->u.text.length = length;
    return JSV8_OK;
}

}   // namespace jsv8

size_t
jsv8_number_text(double number, char *out)
{
    /* The longest is 24 characters: -1.7976931348623157e+308. */
    return static_cast<size_t>(std::to_chars(out, out + JSV8_NUMBER_LONGEST, number).ptr - out);
}
