/* SPDX-License-Identifier: MIT
 *
 * context.hh: compiling and running source.
 */
#ifndef JSRT_V8_CONTEXT_HH
#define JSRT_V8_CONTEXT_HH

#include "exception.hh"

namespace jsv8
{

/* The one place where source becomes a script. cached: given to V8, which takes or rejects it. */
v8::MaybeLocal<v8::Script> compile_script(jsv8_isolate *iso, v8::Local<v8::Context> context,
                                          v8::Local<v8::String> source, const char *filename,
                                          v8::ScriptCompiler::CachedData *cached = nullptr,
                                          bool *rejected = nullptr);

/* Source text on its way in; JSV8_CONVERSION where it is none. */
jsv8_status_t source_to_v8(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *source,
                           v8::Local<v8::Value> *out, jsv8_error_t *error);

/* Runs a piece of the shim's own source, whose value is a function, kept in out. false: it did
 * not (no memory; never because of what users did: it runs before them). */
bool own_function(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *source,
                  v8::Global<v8::Function> *out);

/* Takes from a fresh context the intrinsics the shim needs, before anybody can replace them. */
bool keep_intrinsics(jsv8_isolate *iso, v8::Local<v8::Context> context);

}   // namespace jsv8
#endif
