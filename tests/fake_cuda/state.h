// What the files of the fake driver share. One lock guards everything; a launch hook runs without it.
#ifndef FAKE_CUDA_STATE_H
#define FAKE_CUDA_STATE_H

#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL  // functions go by their full names here, cuMemAlloc_v2
#include <cuda.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum kind { CONTEXT, DEVICE_MEMORY, HOST_MEMORY, STREAM, EVENT, MODULE, FUNCTION, GRAPH, GRAPH_EXEC, KINDS };

struct context;
struct stream;

struct object {  // everything that has a handle; a handle is a number that is never used again
    enum kind kind;
    uintptr_t handle;
    struct context *context;
    struct object *next;
};

struct context {
    struct object object;
    int device, users;
    bool primary;
    CUresult sticky;  // of a failed kernel: everything answers it from then on
};

struct block {  // handle: the address
    struct object object;
    size_t size;
    unsigned char *bytes;
    bool registered;  // host memory of somebody else
};

struct event {
    struct object object;
    unsigned flags;
    int pending;  // records that have not been reached yet
    bool recorded, captured;
    double seconds;
};

#define MOST_PARAMETERS 128

struct function {
    struct object object;
    uintptr_t module;
    char *symbol;
    unsigned count, size, required[3];  // parameters, their bytes in all, .reqntid or 0
    unsigned offsets[MOST_PARAMETERS], sizes[MOST_PARAMETERS];
    unsigned static_shared, most_shared;
};

struct module {
    struct object object;
    unsigned char *image;
    size_t size;
};

enum action { UPLOAD, DOWNLOAD, COPY, FILL, LAUNCH, RECORD, WAIT };

struct op {  // a piece of work on a stream; everything is in it by value
    enum action action;
    CUdeviceptr to, from;
    unsigned char *host, *staged;
    size_t size;
    unsigned value, width;  // of a fill
    uintptr_t handle;  // of the function or the event
    unsigned grid[3], block[3], shared;
    struct op *next;
};

struct ops {
    struct op *first, *last;
};

struct stream {
    struct object object;
    unsigned flags;
    struct ops queue, recording;
    bool busy, capturing, broken;
    CUstreamCaptureMode mode;
    pthread_t thread, runner;  // that captures it, that is busy with it
};

struct graph {  // and what was instantiated of one
    struct object object;
    struct ops ops;
};

struct settings {
    int enabled, devices, capability, processors, shared_memory, driver;
    size_t memory;
    char name[256];
};

typedef int (*launch_hook)(
    const void *image, size_t image_size, const char *symbol, const unsigned *grid, const unsigned *block, unsigned shared,
    uintptr_t stream, const void *parameters, const unsigned *offsets, const unsigned *sizes, unsigned count);

extern struct settings settings;
extern launch_hook hook;
extern bool initialised;
extern unsigned generation;
extern long long leaked[KINDS];

// state.c
CUresult enter(const char *name, int need);
void leave(CUresult *unused);
enum need { ANYTIME, AFTER_INIT, IN_CONTEXT };
#define ENTER(need)                                                                \
    __attribute__((cleanup(leave))) CUresult entered = enter(__func__, need); \
    if (entered != CUDA_SUCCESS) return entered
void lock(void);
void unlock(void);
void wait_a_moment(void);
void *create(enum kind kind, size_t size);
void *find(enum kind kind, uintptr_t handle);
struct object *first_object(void);
void destroy(struct object *object);
void break_context(struct context *context, CUresult result);

// contexts.c
struct context *current(void);
bool has_context(void);  // one that may have been destroyed

// memory.c
unsigned char *device_bytes(CUdeviceptr address, size_t size);
struct block *host_block(const void *pointer, size_t size);
void free_block(struct block *block);

// streams.c
CUresult submit(uintptr_t handle, struct op op);
void run_stream(struct stream *stream);
void run_all(struct context *context, bool only_blocking);
CUresult unsafe(void);
bool is_default(uintptr_t handle);
bool is_capturing(uintptr_t handle);
CUresult forbid(struct stream *stream);
struct op *copy_of(const struct op *op);
void clear(struct ops *ops);
void append(struct ops *ops, struct op *op);
void empty_stream(struct stream *stream);

// execute.c
CUresult execute(const struct op *op, struct stream *stream);

#endif
