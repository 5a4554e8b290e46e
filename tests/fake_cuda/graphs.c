// What a stream records instead of running it, and graphs of that. Everything is in them by value.
#include "state.h"

CUresult CUDAAPI cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    ENTER(IN_CONTEXT);
    if (is_default((uintptr_t)handle)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    struct stream *stream = find(STREAM, (uintptr_t)handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capturing = true;
    stream->broken = false;
    stream->mode = mode;
    stream->thread = pthread_self();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamEndCapture(CUstream handle, CUgraph *out) {
    ENTER(IN_CONTEXT);
    struct stream *stream = find(STREAM, (uintptr_t)handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    *out = NULL;
    if (!stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(stream->thread, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    stream->capturing = false;
    if (stream->broken) {
        clear(&stream->recording);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    struct graph *graph = create(GRAPH, sizeof *graph);
    graph->ops = stream->recording;
    stream->recording = (struct ops){0};
    *out = (CUgraph)graph->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    ENTER(IN_CONTEXT);
    struct stream *stream = find(STREAM, (uintptr_t)handle);
    *status = !stream || !stream->capturing ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->broken              ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                            : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *out, CUgraph handle) {
    struct graph *graph = find(GRAPH, (uintptr_t)handle);
    if (!graph) return CUDA_ERROR_INVALID_VALUE;
    struct graph *made = create(GRAPH_EXEC, sizeof *made);
    for (struct op *op = graph->ops.first; op; op = op->next) append(&made->ops, copy_of(op));
    *out = (CUgraphExec)made->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags) {
    ENTER(IN_CONTEXT);
    (void)flags;
    return instantiate(out, graph);
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec handle, CUstream stream) {
    ENTER(IN_CONTEXT);
    struct graph *graph = find(GRAPH_EXEC, (uintptr_t)handle);
    if (!graph) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    for (struct op *op = graph->ops.first; op && result == CUDA_SUCCESS; op = op->next) {
        struct event *event = op->action == RECORD ? find(EVENT, op->handle) : NULL;
        if (event && !event->captured) {
            event->recorded = true;
            event->pending++;
        }
        result = submit((uintptr_t)stream, *op);
    }
    return result;
}

static CUresult drop(enum kind kind, uintptr_t handle) {
    struct object *object = find(kind, handle);
    if (!object) return CUDA_ERROR_INVALID_VALUE;
    destroy(object);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec handle) {
    ENTER(IN_CONTEXT);
    return drop(GRAPH_EXEC, (uintptr_t)handle);
}

CUresult CUDAAPI cuGraphDestroy(CUgraph handle) {
    ENTER(IN_CONTEXT);
    return drop(GRAPH, (uintptr_t)handle);
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count) {
    ENTER(IN_CONTEXT);
    struct graph *graph = find(GRAPH, (uintptr_t)handle);
    if (!graph || nodes) return CUDA_ERROR_INVALID_VALUE;  // only how many there are
    *count = 0;
    for (struct op *op = graph->ops.first; op; op = op->next) ++*count;
    return CUDA_SUCCESS;
}
