/* SPDX-License-Identifier: MIT
 *
 * lend.cc: bytes in, copied or shared.
 *
 * Shared memory is a backing store over the host's own. V8 frees a store when the last ArrayBuffer,
 * or the last C++ that uses it, has let go: in a collection, in a sweep on another thread, at the end
 * of the isolate, or later, where the buffer was transferred to a worker's isolate. So nothing of
 * the isolate is touched then: the Lent goes on a list of the process, and a hook tells the host,
 * which fetches the object when it may.
 *
 * Invariants
 *   1. The host's object is owned until jsv8_returned gives it back, which is not before V8's last
 *      use of the memory, whatever becomes of the isolate.
 *   2. Lent memory counts as an ArrayBuffer of its size: the same bound, the same refusal.
 *   3. Memory that is not cleared is filled before JavaScript can see it.
 *   4. Lent memory begins at a multiple of 8: JavaScript may have atomic operations on any element type.
 */
#include "lend.hh"

#include <string.h>

namespace jsv8
{

namespace
{

constexpr uintptr_t kAlignment = 8;
#if V8_MAJOR_VERSION >= 12
constexpr size_t kLongest = v8::TypedArray::kMaxByteLength;
#else
constexpr size_t kLongest = v8::TypedArray::kMaxLength;
#endif

Lent *given_back = nullptr; /* under the registry lock */
std::atomic<size_t> live_lent{0};
std::atomic<void (*)(void)> return_hook{nullptr};

v8::Local<v8::Value>
view_of(v8::Local<v8::ArrayBuffer> buffer, jsv8_element_t element, size_t size)
{
    switch (element) {
    case JSV8_INT8:
        return v8::Int8Array::New(buffer, 0, size);
    case JSV8_UINT16:
        return v8::Uint16Array::New(buffer, 0, size / 2);
    case JSV8_INT16:
        return v8::Int16Array::New(buffer, 0, size / 2);
    case JSV8_UINT32:
        return v8::Uint32Array::New(buffer, 0, size / 4);
    case JSV8_INT32:
        return v8::Int32Array::New(buffer, 0, size / 4);
    case JSV8_UINT64:
        return v8::BigUint64Array::New(buffer, 0, size / 8);
    case JSV8_INT64:
        return v8::BigInt64Array::New(buffer, 0, size / 8);
    case JSV8_FLOAT32:
        return v8::Float32Array::New(buffer, 0, size / 4);
    case JSV8_FLOAT64:
        return v8::Float64Array::New(buffer, 0, size / 8);
    default:
        return v8::Uint8Array::New(buffer, 0, size);
    }
}

jsv8_status_t
too_long(jsv8_error_t *error)
{
    return fail(error, JSV8_CONVERSION, "too many bytes for one typed array");
}

jsv8_status_t
beyond_limit(jsv8_error_t *error)
{
    return fail(error, JSV8_NO_MEMORY, "bytes beyond the isolate's limit for ArrayBuffers");
}

/* V8 is through with the memory. Any thread. */
void
give_back(void *, size_t, void *data)
{
    auto *lent = static_cast<Lent *>(data);
    std::shared_ptr<Buffers> buffers = std::move(lent->buffers);
    size_t size = lent->size;
    {
        Registry guard;
        buffers->unlink(lent);
        lent->previous = nullptr;
        lent->next = given_back;
        given_back = lent; /* from here on the thread that fetches it may delete it */
    }
    buffers->release(size);
    void (*hook)(void) = return_hook.load();
    if (hook != nullptr) {
        hook();
    }
}

/* By way of JavaScript's own constructor: it makes room by collecting young garbage only, and its
 * refusal can be caught, which of V8's functions neither is true. */
jsv8_status_t
copy(jsv8_isolate *iso, Entry &entry, const void *from, size_t length, jsv8_element_t element,
     v8::Local<v8::Value> *out, jsv8_error_t *error)
{
    if (length > kLongest) {
        return too_long(error);
    }
    v8::TryCatch caught(iso->v8);
    v8::Local<v8::Value> size = v8::Number::New(iso->v8, static_cast<double>(length));
    v8::Local<v8::Object> made;
    Buffers::filling = true;
    bool ok = strong(iso->intrinsic_buffer)->NewInstance(entry.context(), 1, &size).ToLocal(&made);
    Buffers::filling = false;
    if (!ok) {
        return entry.stopped() ? fail(error, entry.stop_status(), "") : beyond_limit(error);
    }
    v8::Local<v8::ArrayBuffer> buffer = made.As<v8::ArrayBuffer>();
    if (length > 0) {
        memcpy(buffer->GetBackingStore()->Data(), from, length);
    }
    *out = view_of(buffer, element, length);
    return JSV8_OK;
}

}   // namespace

jsv8_status_t
copy_bytes(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in, v8::Local<v8::Value> *out,
           jsv8_error_t *error)
{
    return copy(iso, entry, in->u.text.data, in->u.text.length, JSV8_UINT8, out, error);
}

jsv8_status_t
share_bytes(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in, v8::Local<v8::Value> *out,
            jsv8_error_t *error)
{
    size_t size = in->u.lent.length;
    jsv8_loan_t *loan = in->u.lent.loan;
    void *data = const_cast<void *>(in->u.lent.data);
    if (loan == nullptr || loan->taken || size == 0
        || reinterpret_cast<uintptr_t>(data) % kAlignment != 0) {
        return copy(iso, entry, data, size, in->u.lent.element, out, error);
    }
    if (size > kLongest) {
        return too_long(error);
    }
    bool admitted = iso->buffers->admit(size);
    for (int i = 0; !admitted && i < 2; i++) {
        iso->v8->LowMemoryNotification();
        admitted = iso->buffers->admit(size);
    }
    if (!admitted) {
        return beyond_limit(error);
    }
    auto *lent = new (std::nothrow) Lent{iso->buffers, loan->object, size, nullptr, nullptr};
    if (lent == nullptr) {
        iso->buffers->release(size);
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    live_lent.fetch_add(1, std::memory_order_relaxed);
    {
        Registry guard;
        iso->buffers->link(lent);
    }
    loan->taken = 1;
    std::shared_ptr<v8::BackingStore> store =
        v8::ArrayBuffer::NewBackingStore(data, size, give_back, lent);
    *out = view_of(v8::ArrayBuffer::New(iso->v8, std::move(store)), in->u.lent.element, size);
    return JSV8_OK;
}

/* ---- those of an isolate, under the registry lock --------------------------------------------- */

void
Buffers::link(Lent *lent)
{
    lent->next = shared_;
    if (shared_ != nullptr) {
        shared_->previous = lent;
    }
    shared_ = lent;
}

void
Buffers::unlink(Lent *lent)
{
    if (lent->previous != nullptr) {
        lent->previous->next = lent->next;
    } else {
        shared_ = lent->next;
    }
    if (lent->next != nullptr) {
        lent->next->previous = lent->previous;
    }
}

int
Buffers::visit(int (*each)(void *object, void *arg), void *arg) const
{
    int code = 0;
    for (Lent *lent = shared_; lent != nullptr && code == 0; lent = lent->next) {
        code = each(lent->object, arg);
    }
    return code;
}

}   // namespace jsv8

using namespace jsv8;

void
jsv8_set_return_hook(void (*returned)(void))
{
    return_hook.store(returned);
}

void *
jsv8_returned(void)
{
    Lent *lent;
    {
        Registry guard;
        lent = given_back;
        if (lent == nullptr) {
            return nullptr;
        }
        given_back = lent->next;
    }
    void *object = lent->object;
    delete lent;
    live_lent.fetch_sub(1, std::memory_order_relaxed);
    return object;
}

size_t
jsv8_live_lent(void)
{
    return live_lent.load(std::memory_order_relaxed);
}
