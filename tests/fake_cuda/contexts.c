// Contexts: the primary ones of the GPUs, others, and the stack that every thread has of them.
#include "state.h"

#define MOST_CONTEXTS 64

static __thread unsigned thread_generation;
static __thread uintptr_t stack[MOST_CONTEXTS];
static __thread int depth;

static void own_stack(void) {  // what an earlier test left in this thread is forgotten
    if (thread_generation != generation) depth = 0;
    thread_generation = generation;
}

struct context *current(void) {
    own_stack();
    return depth ? find(CONTEXT, stack[depth - 1]) : NULL;
}

bool has_context(void) { return depth > 0; }

// All that a context holds goes with it; what was not given back before is counted.
static void end_context(struct context *context) {
    for (bool again = true; again;) {
        again = false;
        for (struct object *object = first_object(); object; object = object->next)
            if (object->context == context && object->kind != CONTEXT) {
                leaked[object->kind] += object->kind != FUNCTION;
                destroy(object);
                again = true;
                break;
            }
    }
    destroy(&context->object);
}

CUresult CUDAAPI cuInit(unsigned flags) {
    ENTER(ANYTIME);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (!settings.enabled || settings.devices == 0) return CUDA_ERROR_NO_DEVICE;
    initialised = true;
    return CUDA_SUCCESS;
}

static struct context *primary_of(CUdevice device) {
    for (struct object *object = first_object(); object; object = object->next) {
        struct context *context = (struct context *)object;
        if (object->kind == CONTEXT && context->primary && context->device == device) return context;
    }
    return NULL;
}

static struct context *new_context(CUdevice device, bool primary) {
    struct context *context = create(CONTEXT, sizeof *context);
    context->object.context = NULL;
    context->device = device;
    context->primary = primary;
    return context;
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device) {
    ENTER(AFTER_INIT);
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    struct context *context = primary_of(device);
    if (!context) context = new_context(device, true);
    context->users++;
    *out = (CUcontext)context->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    ENTER(AFTER_INIT);
    struct context *context = primary_of(device);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (--context->users == 0) {
        run_all(context, false);
        end_context(context);
    }
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) { return cuDevicePrimaryCtxRelease_v2(device); }

CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    ENTER(AFTER_INIT);
    *flags = 0;
    *active = primary_of(device) != NULL;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxCreate_v2(CUcontext *out, unsigned flags, CUdevice device) {
    ENTER(AFTER_INIT);
    (void)flags;
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    struct context *context = new_context(device, false);
    own_stack();
    stack[depth++] = context->object.handle;
    *out = (CUcontext)context->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxDestroy_v2(CUcontext handle) {
    ENTER(AFTER_INIT);
    struct context *context = find(CONTEXT, (uintptr_t)handle);
    if (!context || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    run_all(context, false);
    end_context(context);
    own_stack();
    if (depth && stack[depth - 1] == (uintptr_t)handle) depth--;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPushCurrent_v2(CUcontext handle) {
    ENTER(AFTER_INIT);
    if (!find(CONTEXT, (uintptr_t)handle)) return CUDA_ERROR_INVALID_CONTEXT;
    own_stack();
    if (depth == MOST_CONTEXTS) return CUDA_ERROR_INVALID_CONTEXT;  // somebody pushes and never pops
    stack[depth++] = (uintptr_t)handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPopCurrent_v2(CUcontext *out) {
    ENTER(AFTER_INIT);
    own_stack();
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (out) *out = (CUcontext)stack[depth];
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext handle) {
    ENTER(AFTER_INIT);
    own_stack();
    if (handle && !find(CONTEXT, (uintptr_t)handle)) return CUDA_ERROR_INVALID_CONTEXT;
    if (depth) depth--;
    if (handle) stack[depth++] = (uintptr_t)handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext *out) {
    ENTER(AFTER_INIT);
    own_stack();
    *out = depth ? (CUcontext)stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetDevice(CUdevice *out) {
    ENTER(IN_CONTEXT);
    *out = current()->device;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetApiVersion(CUcontext handle, unsigned *version) {
    ENTER(AFTER_INIT);
    (void)handle;
    *version = 3020;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSynchronize(void) {
    ENTER(IN_CONTEXT);
    if (unsafe() != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    run_all(current(), false);
    return current()->sticky;
}

// ---- for the tests

int fake_depth(void) {  // contexts on the stack of this thread
    own_stack();
    return depth;
}
