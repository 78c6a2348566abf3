/* SPDX-License-Identifier: MIT
 *
 * stack.cc: the JavaScript stack of the call that this thread is in, as text in the form of
 * faulthandler's. Called from an interrupt, between two steps of JavaScript: it runs none itself.
 */
#include <stdio.h>
#include <string.h>

#include "scope.hh"

namespace
{

constexpr int kFrames = 100;

/* Bounded text, ended where it is full. */
class Text
{
  public:
    Text(char *to, size_t capacity) : to_(to), capacity_(capacity)
    {
    }

    void add(const char *text, size_t size)
    {
        size_t room = capacity_ - size_;
        size_t part = size < room ? size : room;
        memcpy(to_ + size_, text, part);
        size_ += part;
    }
    void add(const char *text)
    {
        add(text, strlen(text));
    }
    void add(v8::Isolate *v8, v8::Local<v8::String> text, const char *instead)
    {
        v8::String::Utf8Value utf8(v8, text);
        if (*utf8 == nullptr || utf8.length() == 0) {
            add(instead);
        } else {
            add(*utf8, static_cast<size_t>(utf8.length()));
        }
    }
    size_t size() const
    {
        return size_;
    }

  private:
    char *to_;
    size_t capacity_;
    size_t size_ = 0;
};

}   // namespace

size_t
jsv8_stack(jsv8_isolate_t *iso, char *out, size_t capacity)
{
    v8::HandleScope scope(iso->v8);
    v8::Local<v8::StackTrace> trace =
        v8::StackTrace::CurrentStackTrace(iso->v8, kFrames, v8::StackTrace::kDetailed);
    Text text(out, capacity);

    if (trace->GetFrameCount() == 0) {
        return 0;
    }
    text.add("\nJavaScript (most recent call first):\n");
    for (int i = 0; i < trace->GetFrameCount(); i++) {
        v8::Local<v8::StackFrame> frame = trace->GetFrame(iso->v8, i);
        char line[32];
        snprintf(line, sizeof(line), "\", line %d in ", frame->GetLineNumber());
        text.add("  File \"");
        text.add(iso->v8, frame->GetScriptName(), "<code>");
        text.add(line);
        text.add(iso->v8, frame->GetFunctionName(), "<script>");
        text.add("\n");
    }
    return text.size();
}
