// What the driver says of itself and of the GPU, the names of its errors, and the addresses of its functions.
#include "state.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>

extern const struct { CUresult code; const char *name; } fake_errors[];  // written from cuda.h by generate.py
extern const struct { const char *name, *full; } fake_names[];

CUresult CUDAAPI cuDriverGetVersion(int *version) {
    ENTER(ANYTIME);
    *version = settings.driver;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetCount(int *count) {
    ENTER(AFTER_INIT);
    *count = settings.devices;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice *device, int number) {
    ENTER(AFTER_INIT);
    if (number < 0 || number >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    *device = number;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetName(char *name, int size, CUdevice device) {
    ENTER(AFTER_INIT);
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)size, "%s", settings.name);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceTotalMem_v2(size_t *size, CUdevice device) {
    ENTER(AFTER_INIT);
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    *size = settings.memory;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    ENTER(AFTER_INIT);
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    *major = settings.capability / 10;
    *minor = settings.capability % 10;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    ENTER(AFTER_INIT);
    if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
    switch ((int)attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = settings.capability / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = settings.capability % 10; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = settings.processors; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 * 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = settings.shared_memory; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: *value = 1; break;
    default: *value = 0;
    }
    return attribute > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static const char *error_name(CUresult code) {
    for (int i = 0; fake_errors[i].name; i++)
        if (fake_errors[i].code == code) return fake_errors[i].name;
    return NULL;
}

CUresult CUDAAPI cuGetErrorName(CUresult code, const char **name) {
    *name = error_name(code);
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuGetErrorString(CUresult code, const char **text) {  // CUDA_ERROR_OUT_OF_MEMORY: out of memory
    static __thread char words[128];
    const char *name = error_name(code);
    *text = NULL;
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    snprintf(words, sizeof words, "%s", name + (strncmp(name, "CUDA_ERROR_", 11) == 0 ? 11 : 0));
    for (char *letter = words; *letter; letter++) *letter = *letter == '_' ? ' ' : (char)tolower(*letter);
    *text = words;
    return CUDA_SUCCESS;
}

// The binding asks for cuMemAlloc as of a version of CUDA and gets the address of cuMemAlloc_v2.
static const char *full_name(const char *name, int version) {
    if (strcmp(name, "cuCtxCreate") == 0 && version < 11040) return "cuCtxCreate_v2";
    if (strcmp(name, "cuEventElapsedTime") == 0 && version < 12080) return name;
    if (strcmp(name, "cuGetProcAddress") == 0 && version < 12000) return name;
    for (int i = 0; fake_names[i].name; i++)
        if (strcmp(fake_names[i].name, name) == 0) return fake_names[i].full;
    return name;
}

static CUresult address_of(const char *name, void **out, int version) {
    static void *self;
    Dl_info info;
    if (!self && dladdr((void *)&settings, &info)) self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *out = self ? dlsym(self, full_name(name, version)) : NULL;
    return *out ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult CUDAAPI cuGetProcAddress(const char *name, void **out, int version, cuuint64_t flags) {
    (void)flags;
    return address_of(name, out, version);
}

CUresult CUDAAPI cuGetProcAddress_v2(const char *name, void **out, int version, cuuint64_t flags,
                                     CUdriverProcAddressQueryResult *status) {
    (void)flags;
    CUresult result = address_of(name, out, version);
    if (status) *status = result == CUDA_SUCCESS ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_SUCCESS;
}
