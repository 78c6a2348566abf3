/* SPDX-License-Identifier: MIT
 *
 * exception.cc: what JavaScript throws, as plain texts.
 *
 * Anything can be thrown, and reading it runs the thrower's code: getters that throw again, a
 * Proxy, a toString that never returns (a termination ends that). Each read is caught on its own
 * and yields "" at worst; describe() never fails and never leaves an exception behind.
 */
#include "exception.hh"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host.hh"
#include "text.hh"
#include "value.hh"

namespace jsv8
{

namespace
{

constexpr size_t kLongestText = 64 * 1024; /* UTF-16 units of any one text of an error */

/* Adds text's UTF-8 and a NUL. Returns its offset; 0 (always "") where there is no room. The
 * block may move: offsets become pointers when all is written. */
size_t
add_text(v8::Isolate *v8, ErrorTexts *texts, v8::Local<v8::Value> value)
{
    v8::Local<v8::String> text;
    if (value.IsEmpty() || !value->IsString()) {
        return 0;
    }
    text = value.As<v8::String>();
    size_t bound = utf8_bound(text);
    if (bound > 3 * kLongestText) {
        bound = 3 * kLongestText;
    }
    size_t need = texts->used + bound + 1;
    if (need > texts->block.capacity) {
        size_t capacity = need + need / 2;
        char *moved = static_cast<char *>(realloc(texts->block.data, capacity));
        if (moved == nullptr) {
            return 0;
        }
        texts->block.data = moved;
        texts->block.capacity = capacity;
    }
    size_t offset = texts->used;
    size_t wrote = write_utf8(v8, text, texts->block.data + offset, bound);
    texts->block.data[offset + wrote] = '\0';
    texts->used = offset + wrote + 1;
    return offset;
}

bool
begin_texts(ErrorTexts *texts)
{
    if (texts->block.capacity > 256 * 1024) {
        free(texts->block.data);
        texts->block.data = nullptr;
        texts->block.capacity = 0;
    }
    if (texts->block.data == nullptr && texts->block.reserve(1024) == nullptr) {
        return false;
    }
    texts->block.data[0] = '\0'; /* offset 0 is the empty text */
    texts->used = 1;
    return true;
}

/* Whether a stop was asked for: V8 ends one run of JS for it, so no other may be begun. */
bool
stopping(jsv8_isolate *iso)
{
    return iso->attention.load(std::memory_order_relaxed) & (kStop | kCondemned);
}

v8::Local<v8::Value>
read_property(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object,
              v8::Local<v8::String> key)
{
    v8::Isolate *v8 = iso->v8;
    if (stopping(iso)) {
        return v8::Undefined(v8);
    }
    v8::TryCatch swallow(v8);
    v8::Local<v8::Value> value;
    if (!object->Get(context, key).ToLocal(&value)) {
        return v8::Undefined(v8);
    }
    return value;
}

v8::Local<v8::Value>
as_text(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value)
{
    v8::Isolate *v8 = iso->v8;
    if (stopping(iso)) {
        return v8::Undefined(v8);
    }
    v8::TryCatch swallow(v8);
    v8::Local<v8::String> text;
    if (value->IsSymbol()) {
        if (!value->ToDetailString(context).ToLocal(&text)) {
            return v8::Undefined(v8);
        }
    } else if (!value->ToString(context).ToLocal(&text)) {
        return v8::Undefined(v8);
    }
    return text;
}

}   // namespace

void
clear_error(jsv8_error_t *error)
{
    static const jsv8_error_t nothing = {
        "", "", "", "", "", 0, 0, 0, {JSV8_UNDEFINED, {0}}, nullptr, nullptr};
    *error = nothing;
}

jsv8_status_t
fail(jsv8_error_t *error, jsv8_status_t status, const char *message)
{
    clear_error(error);
    error->message = message;
    return status;
}

jsv8_status_t
fail_format(jsv8_isolate *iso, jsv8_error_t *error, jsv8_status_t status, const char *format, ...)
{
    clear_error(error);
    if (!begin_texts(iso->error_texts)) {
        return status;
    }
    va_list arguments;
    va_start(arguments, format);
    Scratch &block = iso->error_texts->block;
    vsnprintf(block.data, block.capacity, format, arguments);
    va_end(arguments);
    error->message = block.data;
    return status;
}

void
describe(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> thrown,
         v8::Local<v8::Message> message, const char *filename, ErrorTexts *texts,
         jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    clear_error(error);
    if (!begin_texts(texts)) {
        return;
    }
    Converting converting(iso);
    size_t name = 0, text = 0, stack = 0, file = 0, line = 0;
    bool plain = true;
    if (thrown->IsObject()) {
        v8::Local<v8::Object> object = thrown.As<v8::Object>();
        bool error_like = thrown->IsNativeError();
        v8::Local<v8::Value> found = v8::Undefined(v8);
        if (!thrown->IsProxy()) {
            found = read_property(iso, context, object, literal(v8, "name"));
            if (!found->IsString() || found.As<v8::String>()->Length() == 0 || !error_like) {
                v8::Local<v8::Value> own = object->GetConstructorName();
                found = error_like || !found->IsString() ? own : found;
            }
        }
        name = add_text(v8, texts, found);
        found = read_property(iso, context, object, literal(v8, "message"));
        text = add_text(v8, texts, found->IsString() ? found : as_text(iso, context, thrown));
        stack = add_text(v8, texts, read_property(iso, context, object, literal(v8, "stack")));
        plain = !error_like;
        if (iso->host != nullptr) {
            error->host = host_object(iso, context, object);
            found = error->host == nullptr && error_like
                        ? read_property(iso, context, object, literal(v8, "cause"))
                        : v8::Undefined(v8).As<v8::Value>();
            if (found->IsObject()) {
                error->cause = host_object(iso, context, found.As<v8::Object>());
            }
        }
    } else {
        text = add_text(v8, texts, as_text(iso, context, thrown));
    }
    if (!message.IsEmpty()) {
        v8::TryCatch swallow(v8);
        v8::Local<v8::String> source;
        file = add_text(v8, texts, message->GetScriptResourceName());
        error->line = message->GetLineNumber(context).FromMaybe(0);
        error->column = message->GetStartColumn(context).FromMaybe(0);
        error->end_column = message->GetEndColumn(context).FromMaybe(0);
        if (message->GetSourceLine(context).ToLocal(&source)) {
            line = add_text(v8, texts, source);
        }
    }
    const char *base = texts->block.data;
    error->name = base + name;
    error->message = base + text;
    error->stack = base + stack;
    error->filename = file == 0 && filename != nullptr ? filename : base + file;
    error->source_line = base + line;
    if (plain && (stopping(iso) || !plain_from_v8(iso, context, thrown, &error->value))) {
        error->value.tag = JSV8_UNDEFINED;
    }
}

jsv8_status_t
caught_status(jsv8_isolate *iso, Entry &entry, v8::TryCatch &caught, jsv8_error_t *error,
              const char *filename)
{
    if (caught.HasTerminated() || !caught.CanContinue() || entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    if (!caught.HasCaught()) {
        /* V8 gave up without throwing: it does so when it is out of some resource. */
        return fail(error, JSV8_NO_MEMORY, "V8 gave no result");
    }
    /* Taken out first: reading the exception may throw into the same TryCatch. */
    v8::Local<v8::Value> thrown = caught.Exception();
    v8::Local<v8::Message> message = caught.Message();
    describe(iso, entry.context(), thrown, message, filename, iso->error_texts, error);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    if (!entry.outermost() && thrown->IsObject()) {
        iso->last_thrown.Reset(iso->v8, thrown); /* it may cross the host and be thrown again */
    }
    return JSV8_EXCEPTION;
}

void
report_unhandled(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> thrown,
                 v8::Local<v8::Message> message)
{
    if (iso->on_unhandled == nullptr || iso->disposing) {
        return;
    }
    jsv8_error_t error;
    describe(iso, context, thrown, message, nullptr, iso->unhandled_texts, &error);
    iso->on_unhandled(iso->user, &error);
}

}   // namespace jsv8
