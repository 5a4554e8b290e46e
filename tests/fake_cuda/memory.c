// Device memory at addresses that the host cannot read, with gaps between; page-locked host memory; copies.
#include "state.h"

#include <sys/mman.h>

#define GAP (1 << 20)
#define ALIGNMENT 512
#define GARBAGE 0xCD

static CUdeviceptr next_address = 0x0d0000000000;

static size_t used(void) {
    size_t sum = 0;
    for (struct object *object = first_object(); object; object = object->next)
        if (object->kind == DEVICE_MEMORY) sum += ((struct block *)object)->size;
    return sum;
}

static struct block *block_of(enum kind kind, uintptr_t address, size_t size) {
    for (struct object *object = first_object(); object; object = object->next) {
        struct block *block = (struct block *)object;
        if (object->kind == kind && address >= object->handle && address - object->handle <= block->size &&
            size <= block->size - (address - object->handle))
            return block;
    }
    return NULL;
}

unsigned char *device_bytes(CUdeviceptr address, size_t size) {
    struct block *block = block_of(DEVICE_MEMORY, address, size);
    return block ? block->bytes + (address - block->object.handle) : NULL;
}

struct block *host_block(const void *pointer, size_t size) { return block_of(HOST_MEMORY, (uintptr_t)pointer, size); }

void free_block(struct block *block) {
    if (!block->registered) munmap(block->bytes, block->size);
}

CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr *out, size_t size) {
    ENTER(IN_CONTEXT);
    if (!size) return CUDA_ERROR_INVALID_VALUE;
    if (unsafe() != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (size > settings.memory || used() + size > settings.memory) return CUDA_ERROR_OUT_OF_MEMORY;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(bytes, GARBAGE, size);
    struct block *block = create(DEVICE_MEMORY, sizeof *block);
    block->bytes = bytes;
    block->size = size;
    block->object.handle = *out = next_address;
    next_address += (size + GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFree_v2(CUdeviceptr address) {
    ENTER(IN_CONTEXT);
    if (unsafe() != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    struct block *block = find(DEVICE_MEMORY, address);
    if (!block) return CUDA_ERROR_INVALID_VALUE;
    run_all(block->object.context, false);
    destroy(&block->object);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    ENTER(IN_CONTEXT);
    *free_bytes = settings.memory - used();
    *total = settings.memory;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemGetAddressRange_v2(CUdeviceptr *start, size_t *size, CUdeviceptr address) {
    ENTER(IN_CONTEXT);
    struct block *block = block_of(DEVICE_MEMORY, address, 0);
    if (!block) return CUDA_ERROR_NOT_FOUND;
    if (start) *start = block->object.handle;
    if (size) *size = block->size;
    return CUDA_SUCCESS;
}

static CUresult new_host_block(void *pointer, size_t size, bool registered) {
    struct block *block = create(HOST_MEMORY, sizeof *block);
    block->bytes = pointer;
    block->object.handle = (uintptr_t)pointer;
    block->size = size;
    block->registered = registered;
    return CUDA_SUCCESS;
}

static CUresult host_alloc(void **out, size_t size) {
    if (!size) return CUDA_ERROR_INVALID_VALUE;
    if (unsafe() != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    *out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*out == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(*out, GARBAGE, size);
    return new_host_block(*out, size, false);
}

CUresult CUDAAPI cuMemHostAlloc(void **out, size_t size, unsigned flags) {
    ENTER(IN_CONTEXT);
    return flags > 7 ? CUDA_ERROR_INVALID_VALUE : host_alloc(out, size);
}

CUresult CUDAAPI cuMemAllocHost_v2(void **out, size_t size) {
    ENTER(IN_CONTEXT);
    return host_alloc(out, size);
}

CUresult CUDAAPI cuMemFreeHost(void *pointer) {
    ENTER(IN_CONTEXT);
    struct block *block = find(HOST_MEMORY, (uintptr_t)pointer);
    if (!block || block->registered) return CUDA_ERROR_INVALID_VALUE;
    run_all(block->object.context, false);
    destroy(&block->object);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemHostRegister_v2(void *pointer, size_t size, unsigned flags) {
    ENTER(IN_CONTEXT);
    (void)flags;
    if (!pointer || !size) return CUDA_ERROR_INVALID_VALUE;
    if (host_block(pointer, 0)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return new_host_block(pointer, size, true);
}

CUresult CUDAAPI cuMemHostUnregister(void *pointer) {
    ENTER(IN_CONTEXT);
    struct block *block = find(HOST_MEMORY, (uintptr_t)pointer);
    if (!block || !block->registered) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    run_all(block->object.context, false);
    destroy(&block->object);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemHostGetFlags(unsigned *flags, void *pointer) {
    ENTER(IN_CONTEXT);
    *flags = 0;
    return host_block(pointer, 0) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Pageable memory is read when it is asked for, as the driver stages it, and written before the call returns.
static CUresult upload(CUdeviceptr to, const void *from, size_t size, uintptr_t stream) {
    if (!size) return CUDA_SUCCESS;
    if (!from || !device_bytes(to, size)) return CUDA_ERROR_INVALID_VALUE;
    struct op op = {.action = UPLOAD, .to = to, .host = (unsigned char *)from, .size = size};
    if (!host_block(from, size)) {
        if (is_capturing(stream)) return forbid(find(STREAM, stream));
        op.staged = op.host;
    }
    return submit(stream, op);
}

static CUresult download(void *to, CUdeviceptr from, size_t size, uintptr_t stream) {
    if (!size) return CUDA_SUCCESS;
    if (!to || !device_bytes(from, size)) return CUDA_ERROR_INVALID_VALUE;
    struct op op = {.action = DOWNLOAD, .host = to, .from = from, .size = size};
    if (host_block(to, size)) return submit(stream, op);
    if (is_capturing(stream)) return forbid(find(STREAM, stream));
    op.staged = op.host;  // says that it is pageable
    CUresult result = submit(stream, op);
    struct stream *found = find(STREAM, stream);
    if (result == CUDA_SUCCESS && found) run_stream(found);
    return result != CUDA_SUCCESS ? result : current()->sticky;
}

static CUresult copy(CUdeviceptr to, CUdeviceptr from, size_t size, uintptr_t stream) {
    if (!size) return CUDA_SUCCESS;
    if (!device_bytes(to, size) || !device_bytes(from, size)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, (struct op){.action = COPY, .to = to, .from = from, .size = size});
}

static CUresult fill(CUdeviceptr to, unsigned value, unsigned width, size_t count, uintptr_t stream) {
    if (!count) return CUDA_SUCCESS;
    if (to % width || count > SIZE_MAX / width || !device_bytes(to, count * width)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, (struct op){.action = FILL, .to = to, .value = value, .width = width, .size = count});
}

CUresult CUDAAPI cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
    ENTER(IN_CONTEXT);
    return upload(to, from, size, (uintptr_t)stream);
}
CUresult CUDAAPI cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER(IN_CONTEXT);
    return download(to, from, size, (uintptr_t)stream);
}
CUresult CUDAAPI cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER(IN_CONTEXT);
    return copy(to, from, size, (uintptr_t)stream);
}
CUresult CUDAAPI cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) {
    ENTER(IN_CONTEXT);
    CUresult safe = unsafe();
    return safe != CUDA_SUCCESS ? safe : upload(to, from, size, 0);
}
CUresult CUDAAPI cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) {
    ENTER(IN_CONTEXT);
    CUresult safe = unsafe();
    return safe != CUDA_SUCCESS ? safe : download(to, from, size, 0);
}
CUresult CUDAAPI cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size) {
    ENTER(IN_CONTEXT);
    CUresult safe = unsafe();
    return safe != CUDA_SUCCESS ? safe : copy(to, from, size, 0);
}
CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
    ENTER(IN_CONTEXT);
    return fill(to, value, 1, count, (uintptr_t)stream);
}
CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
    ENTER(IN_CONTEXT);
    return fill(to, value, 4, count, (uintptr_t)stream);
}
CUresult CUDAAPI cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
    ENTER(IN_CONTEXT);
    return fill(to, value, 1, count, 0);
}
CUresult CUDAAPI cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) {
    ENTER(IN_CONTEXT);
    return fill(to, value, 4, count, 0);
}

// ---- for the tests

void *fake_bytes(CUdeviceptr address, size_t size) {  // where a piece of device memory really is, NULL if it is none
    lock();
    void *bytes = device_bytes(address, size);
    unlock();
    return bytes;
}
