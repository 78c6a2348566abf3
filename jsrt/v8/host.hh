/* SPDX-License-Identifier: MIT
 *
 * host.hh: objects of the host's (Python's) inside of V8: functions, iterators, exceptions.
 */
#ifndef JSRT_V8_HOST_HH
#define JSRT_V8_HOST_HH

#include "value.hh"

namespace jsv8
{

struct Hosted {
    jsv8_isolate *iso;
    void *object; /* the host's, owned */
    jsv8_host_kind_t kind;
    bool once; /* of an error of JavaScript's own: until it arrives */
    v8::Global<v8::Object> weak;
    Hosted *next, *previous;
    Views *views = nullptr; /* view.cc: that know it as a view, or NULL */
};

struct Host {
    v8::Global<v8::Private> key;  /* of functions and errors: External of the Hosted */
    v8::Global<v8::Object> ended; /* what call(0) of an iterator returns at the end */
    Hosted *live = nullptr, *dropped = nullptr; /* [any, under registry] */
};

/* What view.cc needs of host.cc. The first is for the others. */
bool prepare_host(jsv8_isolate *iso, v8::Local<v8::Context> context);
bool mark(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object,
          Hosted *hosted);
void tie(jsv8_isolate *iso, Hosted *hosted, v8::Local<v8::Object> object);
/* What object is tied to, or NULL. Runs no JavaScript. */
Hosted *hosted_of(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object);
/* first: the host's first argument. */
void call_host(const v8::FunctionCallbackInfo<v8::Value> &info, const Hosted *hosted, int first);

/* A function or an iterator that calls the host. Sets callback->taken on success. */
jsv8_status_t make_callback(jsv8_isolate *iso, Entry &entry, jsv8_callback_t *callback,
                            v8::Local<v8::Value> *out, jsv8_error_t *error);

/* The text of a JSV8_LENT_LATIN1 or JSV8_LENT_UTF16, where the host has it. Sets loan->taken and
 * returns true, or false: it is to be copied. */
bool borrow_text(jsv8_isolate *iso, const jsv8_value_t *in, v8::Local<v8::Value> *out);

/* The host's object that a function or an error stands for, borrowed, or NULL; an error of
 * JavaScript's own stands for it this once. Runs no JavaScript. iso->host is not NULL. */
void *host_object(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object);

/* The end of an isolate: what it owned is taken from it, inside; released, the last step. */
Hosted *forget_host(jsv8_isolate *iso);
void release_owned(Hosted *owned, void (*release)(void *object));

/* While one exists, JavaScript may run although the isolate's buffers are being written: a call
 * of the host's meanwhile gets buffers of its own. */
class Converting
{
  public:
    explicit Converting(jsv8_isolate *iso) : iso_(iso)
    {
        iso->converting++;
    }
    ~Converting()
    {
        iso_->converting--;
    }
    Converting(const Converting &) = delete;
    void operator=(const Converting &) = delete;

  private:
    jsv8_isolate *iso_;
};

}   // namespace jsv8
#endif
