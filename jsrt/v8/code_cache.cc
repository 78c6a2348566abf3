/* SPDX-License-Identifier: MIT
 *
 * code_cache.cc: V8's code cache: compiled functions of a source as bytes, and back.
 *
 * Called by core/source.c for what compile() keeps. A script that was run this way is remembered,
 * since its cache is best made later: V8 compiles a function when it is first called, and a cache
 * holds what is compiled at that moment.
 *
 * V8 compares a cache with its own version, its flags and the length of the source; everything
 * else about the bytes it believes. Where they come from is the caller's responsibility.
 */
#include <limits.h>
#include <string.h>

#include "context.hh"
#include "promise.hh"
#include "snapshot.hh"

using namespace jsv8;

namespace
{

constexpr size_t kMostScripts = 1024; /* one isolate remembers no more */

/* The source's own memory, which outlives the isolate, as V8's text. */
class OneByte : public v8::String::ExternalOneByteStringResource
{
  public:
    explicit OneByte(const jsv8_value_t *source) : source_(*source)
    {
    }
    const char *data() const override
    {
        return static_cast<const char *>(source_.u.text.data);
    }
    size_t length() const override
    {
        return source_.u.text.length;
    }

  private:
    jsv8_value_t source_;
};

class TwoByte : public v8::String::ExternalStringResource
{
  public:
    explicit TwoByte(const jsv8_value_t *source) : source_(*source)
    {
    }
    const uint16_t *data() const override
    {
        return static_cast<const uint16_t *>(source_.u.text.data);
    }
    size_t length() const override
    {
        return source_.u.text.length;
    }

  private:
    jsv8_value_t source_;
};

/* The source as V8's text, not copied. False: it cannot be. */
bool
borrow_text(jsv8_isolate *iso, const jsv8_value_t *source, v8::Local<v8::Value> *out)
{
    v8::Local<v8::String> text;
    if (source->u.text.length > static_cast<size_t>(v8::String::kMaxLength)) {
        return false;
    }
    if (source->tag == JSV8_LATIN1) {
        auto *resource = new (std::nothrow) OneByte(source);
        if (resource == nullptr
            || !v8::String::NewExternalOneByte(iso->v8, resource).ToLocal(&text)) {
            return false;
        }
    } else if (source->tag == JSV8_UTF16) {
        auto *resource = new (std::nothrow) TwoByte(source);
        if (resource == nullptr
            || !v8::String::NewExternalTwoByte(iso->v8, resource).ToLocal(&text)) {
            return false;
        }
    } else {
        return false;
    }
    *out = text;
    return true;
}

size_t
remember(jsv8_isolate *iso, v8::Local<v8::Script> script)
{
    if (iso->scripts.size() >= kMostScripts) {
        return 0;
    }
    iso->scripts.emplace_back(iso->v8, script->GetUnboundScript());
    return iso->scripts.size();
}

}   // namespace

jsv8_status_t
jsv8_run_code(jsv8_isolate_t *iso, const jsv8_value_t *source, const char *filename,
              jsv8_code_t *code, jsv8_error_t *error)
{
    jsv8_value_t nothing;
    code->accepted = 0;
    code->script = 0;
    clear_error(error);
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    v8::Local<v8::Value> text, value;
    jsv8_status_t status = JSV8_OK;
    if (!code->lasting || !borrow_text(iso, source, &text)) {
        status = source_to_v8(iso, entry, source, &text, error);
    }
    if (status != JSV8_OK) {
        return status;
    }
    {
        v8::TryCatch caught(iso->v8);
        v8::Local<v8::Script> script;
        v8::MaybeLocal<v8::Value> done;
        v8::ScriptCompiler::CachedData *cached = nullptr; /* compile_script's Source owns it */
        bool rejected = false;
        if (code->cache != nullptr && code->size <= INT_MAX) {
            cached = new v8::ScriptCompiler::CachedData(static_cast<const uint8_t *>(code->cache),
                                                        static_cast<int>(code->size));
        }
        bool given = cached != nullptr;
        if (compile_script(iso, entry.context(), text.As<v8::String>(), filename, cached, &rejected)
                .ToLocal(&script)) {
            code->accepted = given && !rejected;
            done = script->Run(entry.context());
        }
        if (!done.ToLocal(&value)) {
            return threw(iso, entry, caught, error, filename);
        }
        code->script = code->keep ? remember(iso, script) : 0;
    }
    return deliver(iso, entry, value, JSV8_DISCARD, &nothing, error);
}

jsv8_status_t
jsv8_code_cache(jsv8_isolate_t *iso, size_t script, const void **data, size_t *size)
{
    *data = nullptr;
    *size = 0;
    Entry entry(iso);
    if (entry.stopped()) {
        return entry.stop_status();
    }
    if (script == 0 || script > iso->scripts.size() || iso->scripts[script - 1].IsEmpty()) {
        return JSV8_NOT_FOUND;
    }
    std::unique_ptr<v8::ScriptCompiler::CachedData> made(
        v8::ScriptCompiler::CreateCodeCache(iso->scripts[script - 1].Get(iso->v8)));
    if (made == nullptr || made->length <= 0) {
        return JSV8_NO_MEMORY;
    }
    char *kept = iso->scratch.reserve(static_cast<size_t>(made->length));
    if (kept == nullptr) {
        return JSV8_NO_MEMORY;
    }
    memcpy(kept, made->data, static_cast<size_t>(made->length));
    *data = kept;
    *size = static_cast<size_t>(made->length);
    return JSV8_OK;
}

void
jsv8_code_forget(jsv8_isolate_t *iso, size_t script)
{
    if (script != 0 && script <= iso->scripts.size()) {
        Entry entry(iso);
        iso->scripts[script - 1].Reset();
        if (script == iso->scripts.size()) {
            iso->scripts.pop_back();
        }
    }
}

uint32_t
jsv8_code_version(void)
{
    return v8::ScriptCompiler::CachedDataVersionTag() ^ blob_tag();
}
