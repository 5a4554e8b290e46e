// Streams. Work waits in its stream until somebody waits for it: what is read too early is garbage.
#include "state.h"

#define LEGACY 1  // the default stream has two names

struct op *copy_of(const struct op *op) {
    struct op *made = malloc(sizeof *made);
    *made = *op;
    made->next = NULL;
    if (op->staged && (op->action == UPLOAD || op->action == LAUNCH)) {
        made->staged = malloc(op->size);
        memcpy(made->staged, op->staged, op->size);
    }
    return made;
}

static void release(struct op *op) {
    if (op->action == UPLOAD || op->action == LAUNCH) free(op->staged);
    free(op);
}

void append(struct ops *ops, struct op *op) {
    if (ops->last) ops->last->next = op;
    else ops->first = op;
    ops->last = op;
}

static struct op *take(struct ops *ops) {
    struct op *op = ops->first;
    if (op && !(ops->first = op->next)) ops->last = NULL;
    return op;
}

void clear(struct ops *ops) {
    for (struct op *op; (op = take(ops));) release(op);
}

void empty_stream(struct stream *stream) {
    clear(&stream->queue);
    clear(&stream->recording);
}

void run_stream(struct stream *stream) {
    uintptr_t handle = stream->object.handle;
    while (stream && stream->busy) {
        if (pthread_equal(stream->runner, pthread_self())) return;  // a wait inside the stream itself
        wait_a_moment();
        stream = find(STREAM, handle);
    }
    if (!stream) return;
    stream->busy = true;
    stream->runner = pthread_self();
    for (struct op *op; (op = take(&stream->queue));) {
        if (stream->object.context->sticky == CUDA_SUCCESS)
            break_context(stream->object.context, execute(op, stream));
        release(op);
    }
    stream->busy = false;
}

void run_all(struct context *context, bool only_blocking) {
    for (bool again = true; again;) {
        again = false;
        for (struct object *object = first_object(); object; object = object->next) {
            struct stream *stream = (struct stream *)object;
            if (object->kind != STREAM || object->context != context || !stream->queue.first) continue;
            if (stream->busy && pthread_equal(stream->runner, pthread_self())) continue;
            if (only_blocking && stream->flags & CU_STREAM_NON_BLOCKING) continue;
            run_stream(stream);
            again = true;
            break;
        }
    }
}

// Breaks off the captures that the call of this thread may not happen beside.
CUresult unsafe(void) {
    CUresult result = CUDA_SUCCESS;
    for (struct object *object = first_object(); object; object = object->next) {
        struct stream *stream = (struct stream *)object;
        if (object->kind != STREAM || !stream->capturing || stream->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
        if (stream->mode == CU_STREAM_CAPTURE_MODE_GLOBAL || pthread_equal(stream->thread, pthread_self()))
            result = forbid(stream);
    }
    return result;
}

CUresult forbid(struct stream *stream) {
    stream->broken = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

bool is_capturing(uintptr_t handle) {
    struct stream *stream = find(STREAM, handle);
    return stream && stream->capturing;
}

bool is_default(uintptr_t handle) { return handle == 0 || handle == LEGACY; }

CUresult submit(uintptr_t handle, struct op op) {
    if (is_default(handle)) {
        run_all(current(), true);
        break_context(current(), execute(&op, NULL));
        return current()->sticky;
    }
    struct stream *stream = find(STREAM, handle);
    if (!stream || stream->object.context != current()) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capturing && stream->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    append(stream->capturing ? &stream->recording : &stream->queue, copy_of(&op));
    return CUDA_SUCCESS;
}

static CUresult new_stream(CUstream *out, unsigned flags) {
    if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    struct stream *stream = create(STREAM, sizeof *stream);
    stream->flags = flags;
    *out = (CUstream)stream->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamCreate(CUstream *out, unsigned flags) {
    ENTER(IN_CONTEXT);
    return new_stream(out, flags);
}

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream *out, unsigned flags, int priority) {
    ENTER(IN_CONTEXT);
    (void)priority;
    return new_stream(out, flags);
}

CUresult CUDAAPI cuStreamDestroy_v2(CUstream handle) {
    ENTER(IN_CONTEXT);
    struct stream *stream = find(STREAM, (uintptr_t)handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    run_stream(stream);
    destroy(&stream->object);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamGetFlags(CUstream handle, unsigned *flags) {
    ENTER(IN_CONTEXT);
    struct stream *stream = find(STREAM, (uintptr_t)handle);
    if (stream) *flags = stream->flags;
    return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult finish(uintptr_t handle) {
    struct stream *stream = find(STREAM, handle);
    if (!stream && !is_default(handle)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream && stream->capturing) return forbid(stream);
    if (stream) run_stream(stream);
    else run_all(current(), true);
    return current()->sticky;
}

CUresult CUDAAPI cuStreamSynchronize(CUstream handle) {
    ENTER(IN_CONTEXT);
    return finish((uintptr_t)handle);
}

CUresult CUDAAPI cuStreamQuery(CUstream handle) {
    ENTER(IN_CONTEXT);
    return finish((uintptr_t)handle);
}
