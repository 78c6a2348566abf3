/* SPDX-License-Identifier: MIT
 *
 * context.cc: running source in the isolate's context.
 *
 * A script of its own (JSV8_OWN_SCOPE) is a direct eval inside a function made for each run: var
 * and function declarations land in that function, let/const/class in the eval's own scope, and
 * its completion value is the result. The source is an argument, never pasted into a program, so
 * positions in it are the user's, and the eval used is the intrinsic one.
 */
#include "context.hh"

#include <string.h>

#include <string>

#include "pack.hh"
#include "promise.hh"

namespace jsv8
{

namespace
{

constexpr char kOwnScope[] = "((eval, $source) => eval($source))";

v8::Local<v8::String>
file_name(v8::Isolate *v8, const char *filename)
{
    v8::Local<v8::String> name;
    if (filename == nullptr || !v8::String::NewFromUtf8(v8, filename).ToLocal(&name)) {
        name = v8::String::Empty(v8);
    }
    return name;
}

/* source with the comment that makes V8 name it in stack traces. */
v8::Local<v8::String>
named_source(v8::Isolate *v8, v8::Local<v8::String> source, const char *filename)
{
    if (filename == nullptr || filename[0] == '\0'
        || strpbrk(filename, " \t\r\n\"'`\\*") != nullptr) {
        return source;
    }
    std::string comment = std::string("\n//# sourceURL=") + filename;
    v8::Local<v8::String> tail, both;
    if (source->Length() + comment.size() > static_cast<size_t>(v8::String::kMaxLength)
        || !v8::String::NewFromUtf8(v8, comment.c_str()).ToLocal(&tail)) {
        return source;
    }
    both = v8::String::Concat(v8, source, tail);
    return both.IsEmpty() ? source : both;
}

}   // namespace

v8::MaybeLocal<v8::Script>
compile_script(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::String> source,
               const char *filename, v8::ScriptCompiler::CachedData *cached, bool *rejected)
{
#if V8_MAJOR_VERSION >= 12
    v8::ScriptOrigin origin(file_name(iso->v8, filename));
#else
    v8::ScriptOrigin origin(iso->v8, file_name(iso->v8, filename));
#endif
    v8::ScriptCompiler::Source input(source, origin, cached);
    v8::MaybeLocal<v8::Script> script =
        v8::ScriptCompiler::Compile(context, &input,
                                    cached != nullptr ? v8::ScriptCompiler::kConsumeCodeCache
                                                      : v8::ScriptCompiler::kNoCompileOptions);
    if (rejected != nullptr) {
        *rejected = cached != nullptr && cached->rejected;
    }
    return script;
}

bool
own_function(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *source,
             v8::Global<v8::Function> *out)
{
    v8::Local<v8::String> text;
    v8::Local<v8::Script> script;
    v8::Local<v8::Value> value;
    if (!v8::String::NewFromUtf8(iso->v8, source).ToLocal(&text)
        || !compile_script(iso, context, text, "jsrt:internal").ToLocal(&script)
        || !script->Run(context).ToLocal(&value) || !value->IsFunction()) {
        return false;
    }
    out->Reset(iso->v8, value.As<v8::Function>());
    return true;
}

bool
keep_intrinsics(jsv8_isolate *iso, v8::Local<v8::Context> context)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Value> eval, buffer;
    if (!context->Global()->Get(context, literal(v8, "eval")).ToLocal(&eval)
        || !context->Global()->Get(context, literal(v8, "ArrayBuffer")).ToLocal(&buffer)
        || !eval->IsFunction() || !buffer->IsFunction()) {
        return false;
    }
    iso->intrinsic_buffer.Reset(v8, buffer.As<v8::Function>());
    iso->intrinsic_eval.Reset(v8, eval.As<v8::Function>());
    return own_function(iso, context, kOwnScope, &iso->own_scope)
           && own_function(iso, context,
                           "((settle, record) => [(value) => settle(record, value, true), "
                           "(value) => settle(record, value, false)])",
                           &iso->settle_pair)
           && prepare_pack(iso, context);
}

jsv8_status_t
source_to_v8(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *source, v8::Local<v8::Value> *out,
             jsv8_error_t *error)
{
    jsv8_status_t status = to_v8(iso, entry, source, out, error);
    if (status == JSV8_OK && !(*out)->IsString()) {
        return fail(error, JSV8_CONVERSION, "the source is not a text");
    }
    return status;
}

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_run(jsv8_isolate_t *iso, const jsv8_value_t *source, const char *filename, jsv8_scope_t scope,
         jsv8_want_t want, jsv8_value_t *result, jsv8_error_t *error)
{
    result->tag = JSV8_UNDEFINED;
    clear_error(error);
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    v8::Local<v8::Value> text, value;
    jsv8_status_t status = source_to_v8(iso, entry, source, &text, error);
    if (status != JSV8_OK) {
        return status;
    }
    {
        v8::TryCatch caught(iso->v8);
        v8::MaybeLocal<v8::Value> done;
        if (scope == JSV8_KEEP_SCOPE) {
            v8::Local<v8::Script> script;
            if (compile_script(iso, entry.context(), text.As<v8::String>(), filename)
                    .ToLocal(&script)) {
                done = script->Run(entry.context());
            }
        } else {
            v8::Local<v8::Value> args[] = {strong(iso->intrinsic_eval),
                                           named_source(iso->v8, text.As<v8::String>(), filename)};
            done = strong(iso->own_scope)->Call(entry.context(), v8::Undefined(iso->v8), 2, args);
        }
        if (!done.ToLocal(&value)) {
            return threw(iso, entry, caught, error, filename);
        }
    }
    return deliver(iso, entry, value, want, result, error);
}
