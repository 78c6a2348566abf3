/* SPDX-License-Identifier: MIT
 *
 * profile.cc: heap snapshots and CPU profiles, in the formats that Chrome DevTools opens.
 *
 * V8 writes heap snapshots itself (.heapsnapshot). A CPU profile it gives as a tree of nodes, which
 * is written here as .cpuprofile: JSON with the nodes, the node of each sample, and the time
 * between samples.
 */
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "v8-profiler.h"

#include "exception.hh"
#include "limit.hh"

using namespace jsv8;

namespace
{

constexpr int kChunk = 65536;

class Stream : public v8::OutputStream
{
  public:
    Stream(jsv8_write_t write, void *user) : write_(write), user_(user)
    {
    }
    int GetChunkSize() override
    {
        return kChunk;
    }
    void EndOfStream() override
    {
    }
    WriteResult WriteAsciiChunk(char *data, int size) override
    {
        ok_ = ok_ && write_(user_, data, static_cast<size_t>(size)) == 0;
        return ok_ ? kContinue : kAbort;
    }
    bool ok() const
    {
        return ok_;
    }

  private:
    jsv8_write_t write_;
    void *user_;
    bool ok_ = true;
};

void
put_text(std::string *out, const char *text)
{
    out->push_back('"');
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = static_cast<unsigned char>(*at);
        if (c == '"' || c == '\\') {
            out->push_back('\\');
            out->push_back(*at);
        } else if (c < 0x20) {
            char escape[8];
            snprintf(escape, sizeof(escape), "\\u%04x", c);
            *out += escape;
        } else {
            out->push_back(*at);
        }
    }
    out->push_back('"');
}

void
put_nodes(std::string *out, const v8::CpuProfileNode *root)
{
    std::vector<const v8::CpuProfileNode *> todo{root};
    while (!todo.empty()) {
        const v8::CpuProfileNode *node = todo.back();
        todo.pop_back();
        *out += node == root ? "{\"id\":" : ",{\"id\":";
        *out += std::to_string(node->GetNodeId()) + ",\"callFrame\":{\"functionName\":";
        put_text(out, node->GetFunctionNameStr());
        *out += ",\"scriptId\":\"" + std::to_string(node->GetScriptId()) + "\",\"url\":";
        put_text(out, node->GetScriptResourceNameStr());
        /* DevTools counts from 0, V8 from 1. */
        *out += ",\"lineNumber\":" + std::to_string(node->GetLineNumber() - 1)
                + ",\"columnNumber\":" + std::to_string(node->GetColumnNumber() - 1)
                + "},\"hitCount\":" + std::to_string(node->GetHitCount()) + ",\"children\":[";
        for (int i = 0; i < node->GetChildrenCount(); i++) {
            *out += (i != 0 ? "," : "") + std::to_string(node->GetChild(i)->GetNodeId());
            todo.push_back(node->GetChild(i));
        }
        *out += "]}";
    }
}

std::string
written(const v8::CpuProfile *profile)
{
    std::string out = "{\"nodes\":[";
    put_nodes(&out, profile->GetTopDownRoot());
    out += "],\"startTime\":" + std::to_string(profile->GetStartTime())
           + ",\"endTime\":" + std::to_string(profile->GetEndTime()) + ",\"samples\":[";
    std::string deltas;
    int64_t last = profile->GetStartTime();
    for (int i = 0; i < profile->GetSamplesCount(); i++) {
        out += (i != 0 ? "," : "") + std::to_string(profile->GetSample(i)->GetNodeId());
        deltas += (i != 0 ? "," : "") + std::to_string(profile->GetSampleTimestamp(i) - last);
        last = profile->GetSampleTimestamp(i);
    }
    return out + "],\"timeDeltas\":[" + deltas + "]}";
}

}   // namespace

jsv8_status_t
jsv8_heap_snapshot(jsv8_isolate_t *iso, jsv8_write_t write, void *user)
{
    Entry entry(iso);
    if (entry.stopped()) {
        return entry.stop_status();
    }
    v8::HeapProfiler *profiler = iso->v8->GetHeapProfiler();
    const v8::HeapSnapshot *snapshot;
    {
        Collecting asked(iso);
        snapshot = profiler->TakeHeapSnapshot();
    }
    if (snapshot == nullptr) {
        return JSV8_NO_MEMORY;
    }
    Stream stream(write, user);
    snapshot->Serialize(&stream, v8::HeapSnapshot::kJSON);
    const_cast<v8::HeapSnapshot *>(snapshot)->Delete();
    return stream.ok() ? JSV8_OK : JSV8_UNSUPPORTED;
}

jsv8_status_t
jsv8_cpu_profile_start(jsv8_isolate_t *iso, int interval)
{
    Entry entry(iso);
    if (entry.stopped()) {
        return entry.stop_status();
    }
    if (iso->profiler != nullptr) {
        return JSV8_UNSUPPORTED;
    }
    iso->profiler = v8::CpuProfiler::New(iso->v8);
    iso->profiler->SetSamplingInterval(interval);
    iso->profiler->StartProfiling(v8::String::Empty(iso->v8), true);
    return JSV8_OK;
}

jsv8_status_t
jsv8_cpu_profile_stop(jsv8_isolate_t *iso, jsv8_write_t write, void *user)
{
    Entry entry(iso);
    if (iso->profiler == nullptr) {
        return JSV8_NOT_FOUND;
    }
    v8::CpuProfile *profile = iso->profiler->StopProfiling(v8::String::Empty(iso->v8));
    std::string text = profile != nullptr ? written(profile) : "";
    if (profile != nullptr) {
        profile->Delete();
    }
    forget_profiler(iso);
    return write(user, text.data(), text.size()) == 0 ? JSV8_OK : JSV8_UNSUPPORTED;
}

namespace jsv8
{

void
forget_profiler(jsv8_isolate *iso)
{
    if (iso->profiler != nullptr) {
        v8::CpuProfile *unwanted = iso->profiler->StopProfiling(v8::String::Empty(iso->v8));
        if (unwanted != nullptr) {
            unwanted->Delete();
        }
        iso->profiler->Dispose();
        iso->profiler = nullptr;
    }
}

}   // namespace jsv8
