// One piece of work, done when its stream is waited for. What it uses must still be there.
#include "state.h"

// The GPU's clock: each piece of work takes its time, whatever it takes here, so that events tell the same in every run.
#define LAUNCH_SECONDS 1e-3
#define COPY_SECONDS 1e-4
static double seconds;

static void pass_time(enum action action) {
    if (action == LAUNCH) seconds += LAUNCH_SECONDS;
    else if (action != RECORD && action != WAIT) seconds += COPY_SECONDS;
}

static CUresult move(void *to, const void *from, size_t size) {
    if (!to || !from) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memmove(to, from, size);
    return CUDA_SUCCESS;
}

static CUresult fill(const struct op *op) {
    unsigned char *to = device_bytes(op->to, op->size * op->width);
    for (size_t i = 0; to && i < op->size; i++) memcpy(to + i * op->width, &op->value, op->width);
    return to ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult launch(const struct op *op, struct stream *stream) {
    struct function *function = find(FUNCTION, op->handle);
    struct module *module = function ? find(MODULE, function->module) : NULL;
    if (!module) return CUDA_ERROR_LAUNCH_FAILED;
    launch_hook called = hook;
    if (!called) return CUDA_SUCCESS;
    struct function copy = *function;
    uintptr_t handle = stream ? stream->object.handle : 0;
    unlock();  // the hook asks for memory, and Python's lock may be another thread's that waits for ours
    int failed = called(module->image, module->size, copy.symbol, op->grid, op->block, op->shared, handle, op->staged,
                        copy.offsets, copy.sizes, copy.count);
    lock();
    return failed ? (CUresult)failed : CUDA_SUCCESS;
}

CUresult execute(const struct op *op, struct stream *stream) {
    struct event *event = op->action == RECORD || op->action == WAIT ? find(EVENT, op->handle) : NULL;
    pass_time(op->action);
    switch (op->action) {
    case UPLOAD:
        if (!op->staged && !host_block(op->host, op->size)) return CUDA_ERROR_ILLEGAL_ADDRESS;
        return move(device_bytes(op->to, op->size), op->staged ? op->staged : op->host, op->size);
    case DOWNLOAD:
        if (!op->staged && !host_block(op->host, op->size)) return CUDA_ERROR_ILLEGAL_ADDRESS;
        return move(op->host, device_bytes(op->from, op->size), op->size);
    case COPY:
        return move(device_bytes(op->to, op->size), device_bytes(op->from, op->size), op->size);
    case FILL:
        return fill(op);
    case LAUNCH:
        return launch(op, stream);
    case RECORD:
        if (event && event->pending) event->pending--;
        if (event) event->seconds = seconds;
        return CUDA_SUCCESS;
    case WAIT:
        if (event && event->pending) run_all(event->object.context, false);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_UNKNOWN;
}
