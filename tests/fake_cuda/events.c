// Events: places in a stream, with the time at which it got there.
#include "state.h"

static CUresult new_event(CUevent *out, unsigned flags) {
    struct event *event = create(EVENT, sizeof *event);
    event->flags = flags;
    *out = (CUevent)event->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventCreate(CUevent *out, unsigned flags) {
    ENTER(IN_CONTEXT);
    return flags > 7 ? CUDA_ERROR_INVALID_VALUE : new_event(out, flags);
}

CUresult CUDAAPI cuEventDestroy_v2(CUevent handle) {
    ENTER(IN_CONTEXT);
    struct event *event = find(EVENT, (uintptr_t)handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    destroy(&event->object);
    return CUDA_SUCCESS;
}

static CUresult record(CUevent handle, CUstream on, unsigned flags) {
    struct event *event = find(EVENT, (uintptr_t)handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    struct op op = {.action = RECORD, .handle = event->object.handle};
    if (flags & CU_EVENT_RECORD_EXTERNAL)  // a node of the graph that is recorded, and invalid elsewhere
        return is_capturing((uintptr_t)on) ? submit((uintptr_t)on, op) : CUDA_ERROR_INVALID_VALUE;
    event->recorded = true;
    event->captured = is_capturing((uintptr_t)on);
    event->pending += !event->captured;
    CUresult result = submit((uintptr_t)on, op);
    if (result != CUDA_SUCCESS && !event->captured) event->pending--;
    return result;
}

CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) {
    ENTER(IN_CONTEXT);
    return record(event, stream, CU_EVENT_RECORD_DEFAULT);
}

CUresult CUDAAPI cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
    ENTER(IN_CONTEXT);
    return flags > CU_EVENT_RECORD_EXTERNAL ? CUDA_ERROR_INVALID_VALUE : record(event, stream, flags);
}

static CUresult reach(uintptr_t handle) {
    struct event *event = find(EVENT, handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (event->pending) run_all(event->object.context, false);
    return current()->sticky;
}

CUresult CUDAAPI cuEventSynchronize(CUevent event) {
    ENTER(IN_CONTEXT);
    return reach((uintptr_t)event);
}

CUresult CUDAAPI cuEventQuery(CUevent event) {
    ENTER(IN_CONTEXT);
    return reach((uintptr_t)event);
}

static CUresult elapsed(float *milliseconds, CUevent start, CUevent end) {
    struct event *first = find(EVENT, (uintptr_t)start), *last = find(EVENT, (uintptr_t)end);
    if (!first || !last || !first->recorded || !last->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if ((first->flags | last->flags) & CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
    if (first->captured || last->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (first->pending || last->pending) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((last->seconds - first->seconds) * 1e3);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    ENTER(IN_CONTEXT);
    return elapsed(milliseconds, start, end);
}

CUresult CUDAAPI cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
    ENTER(IN_CONTEXT);
    return elapsed(milliseconds, start, end);
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned flags) {
    ENTER(IN_CONTEXT);
    (void)flags;
    struct event *event = find(EVENT, (uintptr_t)handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // capture of several streams is not faked
    return submit((uintptr_t)stream, (struct op){.action = WAIT, .handle = event->object.handle});
}
