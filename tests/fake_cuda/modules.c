// Cubins: what their ELF says of the entries, function attributes, and launches held against both.
#include "state.h"

#include <elf.h>
#include <unistd.h>

#define EM_CUDA 190
#define WITHOUT_OPT_IN (48 * 1024)
#define FORMAT_WORDS 4  // of an attribute in .nv.info: a 16-bit size, then that many bytes
#define PARAMETER 0x17
#define REQUIRED_BLOCK 0x10

static const Elf64_Shdr *section(const struct module *module, const char *prefix, const char *symbol) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)module->image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(module->image + header->e_shoff);
    const char *names = (const char *)module->image + sections[header->e_shstrndx].sh_offset;
    size_t length = strlen(prefix);
    for (int i = 0; i < header->e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        if (strncmp(name, prefix, length) == 0 && strcmp(name + length, symbol) == 0) return &sections[i];
    }
    return NULL;
}

static CUresult check(const unsigned char *image) {  // no size comes with it
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (!image || memcmp(image, ELFMAG, SELFMAG) != 0 || header->e_machine != EM_CUDA) return CUDA_ERROR_INVALID_IMAGE;
    unsigned abi = header->e_ident[EI_ABIVERSION];
    unsigned capability = abi >= 8 ? header->e_flags >> 8 & 0xff : header->e_flags & 0xff;
    if (abi >= 8 && settings.driver < 13000) return CUDA_ERROR_INVALID_IMAGE;
    return (int)capability == settings.capability ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

static size_t end_of(const unsigned char *image) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + header->e_shoff);
    size_t end = header->e_shoff + (size_t)header->e_shnum * sizeof *sections;
    size_t programs = header->e_phoff + (size_t)header->e_phnum * header->e_phentsize;
    if (programs > end) end = programs;
    for (int i = 0; i < header->e_shnum; i++)
        if (sections[i].sh_type != SHT_NOBITS && sections[i].sh_offset + sections[i].sh_size > end)
            end = sections[i].sh_offset + sections[i].sh_size;
    return end;
}

static void read_attribute(struct function *function, int attribute, const unsigned char *data) {
    if (attribute == REQUIRED_BLOCK) memcpy(function->required, data, sizeof function->required);
    if (attribute != PARAMETER) return;
    uint16_t ordinal, offset;
    uint32_t packed;
    memcpy(&ordinal, data + 4, 2);
    memcpy(&offset, data + 6, 2);
    memcpy(&packed, data + 8, 4);
    if (ordinal >= MOST_PARAMETERS) return;
    function->offsets[ordinal] = offset;
    function->sizes[ordinal] = packed >> 18;
    if (ordinal >= function->count) function->count = ordinal + 1;
    if (offset + (packed >> 18) > function->size) function->size = offset + (packed >> 18);
}

static void read_info(struct function *function, const unsigned char *data, size_t size) {
    for (size_t at = 0; at + 4 <= size;) {
        uint16_t length = 0;
        if (data[at] == FORMAT_WORDS) memcpy(&length, data + at + 2, 2);
        if (data[at] == FORMAT_WORDS && at + 4 + length <= size) read_attribute(function, data[at + 1], data + at + 4);
        at += 4 + (size_t)length;
    }
}

static CUresult load(CUmodule *out, const void *image) {
    CUresult safe = unsafe();
    if (safe != CUDA_SUCCESS) return safe;
    CUresult result = check(image);
    if (result != CUDA_SUCCESS) return result;
    struct module *module = create(MODULE, sizeof *module);
    module->size = end_of(image);
    module->image = malloc(module->size);
    memcpy(module->image, image, module->size);
    *out = (CUmodule)module->object.handle;
    return CUDA_SUCCESS;
}

static void unload(struct module *module) {
    for (bool again = true; again;) {
        again = false;
        for (struct object *object = first_object(); object; object = object->next)
            if (object->kind == FUNCTION && ((struct function *)object)->module == module->object.handle) {
                destroy(object);
                again = true;
                break;
            }
    }
    destroy(&module->object);
}

CUresult CUDAAPI cuModuleLoadData(CUmodule *out, const void *image) {
    ENTER(IN_CONTEXT);
    return load(out, image);
}

CUresult CUDAAPI cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, CUjit_option *options, void **values) {
    ENTER(IN_CONTEXT);
    (void)count, (void)options, (void)values;
    return load(out, image);
}

CUresult CUDAAPI cuModuleUnload(CUmodule handle) {
    ENTER(IN_CONTEXT);
    struct module *module = find(MODULE, (uintptr_t)handle);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    run_all(module->object.context, false);
    unload(module);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *symbol) {
    ENTER(IN_CONTEXT);
    struct module *module = find(MODULE, (uintptr_t)handle);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (!section(module, ".text.", symbol)) return CUDA_ERROR_NOT_FOUND;
    struct function *function = create(FUNCTION, sizeof *function);
    function->module = module->object.handle;
    function->symbol = strdup(symbol);
    function->most_shared = WITHOUT_OPT_IN;
    const Elf64_Shdr *info = section(module, ".nv.info.", symbol), *shared = section(module, ".nv.shared.", symbol);
    if (info) read_info(function, module->image + info->sh_offset, info->sh_size);
    function->static_shared = shared ? (unsigned)shared->sh_size : 0;
    *out = (CUfunction)function->object.handle;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
    ENTER(IN_CONTEXT);
    struct function *function = find(FUNCTION, (uintptr_t)handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
    if (value < 0 || value + (int)function->static_shared > settings.shared_memory) return CUDA_ERROR_INVALID_VALUE;
    function->most_shared = (unsigned)value;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuFuncGetAttribute(int *out, CUfunction_attribute attribute, CUfunction handle) {
    ENTER(IN_CONTEXT);
    struct function *function = find(FUNCTION, (uintptr_t)handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    unsigned threads = function->required[0] ? function->required[0] * function->required[1] * function->required[2] : 1024;
    *out = attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? (int)function->most_shared
           : attribute == CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES           ? (int)function->static_shared
           : attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK       ? (int)threads
                                                                        : 0;
    return CUDA_SUCCESS;
}

// A list that is too short is read past its end, by the real driver too; here that gives an error, not a crash.
static bool read_safely(void *to, const void *from, size_t size) {
    int ends[2];
    if (pipe(ends) != 0) return false;
    bool done = write(ends[1], from, size) == (ssize_t)size && read(ends[0], to, size) == (ssize_t)size;
    close(ends[0]);
    close(ends[1]);
    return done;
}

static CUresult gather(const struct function *function, unsigned char *to, void **values, void **extra) {
    if (values && extra) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; values && i < function->count; i++)
        if (!read_safely(to + function->offsets[i], values[i], function->sizes[i])) return CUDA_ERROR_INVALID_VALUE;
    const void *buffer = NULL;
    size_t size = 0;
    for (int i = 0; extra && extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *(size_t *)extra[i + 1];
        else return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra && (size != function->size || (size && !buffer))) return CUDA_ERROR_INVALID_VALUE;
    if (size) memcpy(to, buffer, size);
    return values || extra || !function->count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static bool fits(const struct function *function, const struct op *op) {
    const unsigned *grid = op->grid, *block = op->block, *required = function->required;
    if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535) return false;
    if (!block[0] || !block[1] || !block[2] || (uint64_t)block[0] * block[1] * block[2] > 1024) return false;
    if (required[0] && memcmp(block, required, 3 * sizeof *block) != 0) return false;
    return op->shared <= function->most_shared && op->shared + function->static_shared <= (unsigned)settings.shared_memory;
}

static CUresult launch(CUfunction handle, struct op op, CUstream stream, void **values, void **extra) {
    struct function *function = find(FUNCTION, (uintptr_t)handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (!fits(function, &op)) return CUDA_ERROR_INVALID_VALUE;
    unsigned char parameters[4096] = {0};
    CUresult result = gather(function, parameters, values, extra);
    if (result != CUDA_SUCCESS) return result;
    op.action = LAUNCH;
    op.handle = function->object.handle;
    op.staged = parameters;
    op.size = sizeof parameters;
    return submit((uintptr_t)stream, op);
}

CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                unsigned bz, unsigned shared, CUstream stream, void **values, void **extra) {
    ENTER(IN_CONTEXT);
    struct op op = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    return launch(function, op, stream, values, extra);
}

CUresult CUDAAPI cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction function, void **values, void **extra) {
    ENTER(IN_CONTEXT);
    struct op op = {.grid = {c->gridDimX, c->gridDimY, c->gridDimZ},
                    .block = {c->blockDimX, c->blockDimY, c->blockDimZ},
                    .shared = c->sharedMemBytes};
    return launch(function, op, c->hStream, values, extra);
}
