/* SPDX-License-Identifier: MIT
 *
 * snapshot.cc: start-up snapshots, and which of them the isolates of this process come from.
 *
 * V8's isolates share a read-only heap, which the first one of the process brings from its blob.
 * An isolate from another blob would find other objects at the same places: strings garbled, memory
 * corrupt. So the first isolate decides, for good: V8's own blob, as Node's environment needs it, or
 * one that was given; and a process that has made a snapshot makes nothing else.
 */
#include "snapshot.hh"

#include <string.h>

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "context.hh"
#include "platform.hh"

namespace jsv8
{

namespace
{

enum class Origin { kNone, kDefault, kGiven, kMaker };

std::mutex mutex; /* guards what follows */
Origin origin = Origin::kNone;
std::string *bytes; /* of kGiven: V8 reads them as long as the process lives */
v8::StartupData blob;

/* The context of a snapshot, with what the source has made of it. */
jsv8_status_t
run_source(jsv8_isolate *iso, v8::SnapshotCreator *creator, const jsv8_value_t *source,
           const char *filename, jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::HandleScope scope(v8);
    v8::Local<v8::Context> context = v8::Context::New(v8);
    if (context.IsEmpty()) {
        return fail(error, JSV8_NO_MEMORY, "V8 could not make a context");
    }
    v8::Context::Scope context_scope(context);
    v8::TryCatch caught(v8);
    v8::Local<v8::String> text;
    v8::Local<v8::Script> script;
    int length = static_cast<int>(source->u.text.length);
    bool read =
        source->u.text.length <= static_cast<size_t>(v8::String::kMaxLength)
        && (source->tag == JSV8_LATIN1
                ? v8::String::NewFromOneByte(v8, static_cast<const uint8_t *>(source->u.text.data),
                                             v8::NewStringType::kNormal, length)
                : v8::String::NewFromTwoByte(v8, static_cast<const uint16_t *>(source->u.text.data),
                                             v8::NewStringType::kNormal, length))
               .ToLocal(&text);
    if (!read) {
        return fail(error, JSV8_CONVERSION, "a text longer than JavaScript allows");
    }
    if (!compile_script(iso, context, text, filename).ToLocal(&script)
        || script->Run(context).IsEmpty()) {
        describe(iso, context, caught.Exception(), caught.Message(), filename, iso->error_texts,
                 error);
        return JSV8_EXCEPTION;
    }
    v8->PerformMicrotaskCheckpoint();
    creator->SetDefaultContext(context);
    return JSV8_OK;
}

}   // namespace

jsv8_status_t
choose_blob(const jsv8_isolate_config_t *config, v8::StartupData **out, jsv8_error_t *error)
{
    std::lock_guard<std::mutex> guard(mutex);
    *out = nullptr;
    if (origin == Origin::kMaker) {
        return fail(error, JSV8_UNSUPPORTED, "this process has made a snapshot, and does no more");
    }
    if (config->snapshot == nullptr) {
        if (origin == Origin::kGiven) {
            return fail(error, JSV8_UNSUPPORTED,
                        "the isolates of this process come from a snapshot, so there can be none "
                        "without: each context must be bare and be given that snapshot");
        }
        origin = Origin::kDefault;
        return JSV8_OK;
    }
    if (origin == Origin::kDefault) {
        return fail(error, JSV8_UNSUPPORTED,
                    "this process has had an isolate without a snapshot, so there can be none "
                    "with: use the snapshot first, and for each context of the process");
    }
    std::string_view wanted(static_cast<const char *>(config->snapshot), config->snapshot_size);
    if (origin == Origin::kGiven && *bytes != wanted) {
        return fail(error, JSV8_UNSUPPORTED,
                    "the isolates of this process come from another snapshot");
    }
    if (origin == Origin::kNone) {
        v8::StartupData candidate{wanted.data(), static_cast<int>(wanted.size())};
        if (!candidate.IsValid()) {
            return fail(error, JSV8_UNSUPPORTED, "the snapshot is of another version of V8");
        }
        bytes = new std::string(wanted);
        blob = {bytes->data(), static_cast<int>(bytes->size())};
        origin = Origin::kGiven;
    }
    *out = &blob;
    return JSV8_OK;
}

uint32_t
blob_tag()
{
    std::lock_guard<std::mutex> guard(mutex);
    return origin == Origin::kGiven ? static_cast<uint32_t>(std::hash<std::string>()(*bytes)) : 0;
}

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_snapshot(const jsv8_value_t *source, const char *filename, jsv8_write_t write, void *user,
              jsv8_error_t *error)
{
    clear_error(error);
    {
        std::lock_guard<std::mutex> guard(mutex);
        if (origin != Origin::kNone || platform() == nullptr) {
            return fail(error, JSV8_UNSUPPORTED,
                        "a snapshot is made in a process that has had no isolate");
        }
        origin = Origin::kMaker;
    }
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) {
        return fail(error, JSV8_NO_MEMORY, "no loop could be opened");
    }
    auto *iso = new jsv8_isolate(); /* for its texts: leaked, with the error's */
    iso->error_texts = new ErrorTexts();
    iso->v8 = v8::Isolate::Allocate();
    platform()->RegisterIsolate(iso->v8, &loop);
    v8::StartupData made{nullptr, 0};
    jsv8_status_t status;
    {
#if V8_MAJOR_VERSION >= 12
        v8::Isolate::CreateParams params;
        std::unique_ptr<v8::ArrayBuffer::Allocator> allocator(
            v8::ArrayBuffer::Allocator::NewDefaultAllocator());
        params.array_buffer_allocator = allocator.get();
        v8::SnapshotCreator creator(iso->v8, params);
#else
        v8::SnapshotCreator creator(iso->v8);
#endif
        iso->v8->SetData(kDataSlot, iso);
        status = run_source(iso, &creator, source, filename, error);
        platform()->DrainTasks(iso->v8);
        if (status == JSV8_OK) {
            made = creator.CreateBlob(v8::SnapshotCreator::FunctionCodeHandling::kKeep);
        }
    }
    bool finished = false;
    platform()->AddIsolateFinishedCallback(
        iso->v8, [](void *flag) { *static_cast<bool *>(flag) = true; }, &finished);
    platform()->UnregisterIsolate(iso->v8);
    while (!finished) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    uv_loop_close(&loop);
    if (status == JSV8_OK && made.data == nullptr) {
        return fail(error, JSV8_UNSUPPORTED, "V8 could not make a snapshot of this");
    }
    if (status == JSV8_OK && write(user, made.data, static_cast<size_t>(made.raw_size)) != 0) {
        status = fail(error, JSV8_NO_MEMORY, "the snapshot could not be taken");
    }
    delete[] made.data;
    return status;
}
