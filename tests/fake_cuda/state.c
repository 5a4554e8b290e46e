// Handles, the lock, the failures that a test asks for, and the exported functions that set it all up.
#include "state.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#define MOST_FAILURES 16

struct settings settings;
launch_hook hook;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct object *objects;
static uintptr_t next_handle = 0x7a0000000;
bool initialised;
unsigned generation = 1;  // grows with every reset
static struct { char name[64]; int after; CUresult result; } failures[MOST_FAILURES];
long long leaked[KINDS];

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }
void leave(CUresult *unused) { (void)unused; unlock(); }

// For somebody else to go on. A caller may hold Python's lock, which a hook in another thread needs.
void wait_a_moment(void) {
    int (*held)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "PyGILState_Check");
    void *(*give)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    void (*take)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "PyEval_RestoreThread");
    unlock();
    void *state = held && give && take && held() ? give() : NULL;
    usleep(200);
    if (state) take(state);
    lock();
}

static bool same_name(const char *asked, const char *name) {  // cuMemAlloc is cuMemAlloc_v2 too
    size_t n = strlen(asked);
    return strncmp(asked, name, n) == 0 && (name[n] == 0 || strncmp(name + n, "_v", 2) == 0);
}

static CUresult failure_of(const char *name) {
    for (int i = 0; i < MOST_FAILURES; i++)
        if (failures[i].name[0] && same_name(failures[i].name, name) && failures[i].after-- == 0) {
            failures[i].name[0] = 0;
            return failures[i].result;
        }
    return CUDA_SUCCESS;
}

CUresult enter(const char *name, int need) {
    lock();
    CUresult result = failure_of(name);
    if (result == CUDA_SUCCESS && need >= AFTER_INIT && !initialised) result = CUDA_ERROR_NOT_INITIALIZED;
    if (result == CUDA_SUCCESS && need >= IN_CONTEXT) {
        struct context *context = current();
        if (!context) result = has_context() ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
        else result = context->sticky;
    }
    if (result != CUDA_SUCCESS) unlock();
    return result;
}

void break_context(struct context *context, CUresult result) {
    if (context && context->sticky == CUDA_SUCCESS) context->sticky = result;
}

void *create(enum kind kind, size_t size) {
    struct object *object = calloc(1, size);
    object->kind = kind;
    object->handle = next_handle += 0x40;
    object->context = current();
    object->next = objects;
    return objects = object;
}

void *find(enum kind kind, uintptr_t handle) {
    for (struct object *object = objects; object; object = object->next)
        if (object->kind == kind && object->handle == handle) return object;
    return NULL;
}

struct object *first_object(void) { return objects; }

void destroy(struct object *object) {
    struct object **place = &objects;
    while (*place != object) place = &(*place)->next;
    *place = object->next;
    if (object->kind == DEVICE_MEMORY || object->kind == HOST_MEMORY) free_block((struct block *)object);
    if (object->kind == STREAM) empty_stream((struct stream *)object);
    if (object->kind == GRAPH || object->kind == GRAPH_EXEC) clear(&((struct graph *)object)->ops);
    if (object->kind == FUNCTION) free(((struct function *)object)->symbol);
    if (object->kind == MODULE) free(((struct module *)object)->image);
    free(object);
}

// ---- for the tests

void fake_reset(const struct settings *wanted) {
    lock();
    while (objects) destroy(objects);
    settings = wanted ? *wanted : (struct settings){0};
    memset(failures, 0, sizeof failures);
    memset(leaked, 0, sizeof leaked);
    initialised = false;
    generation++;
    unlock();
}

void fake_hook(launch_hook wanted) { hook = wanted; }

int fake_fail(const char *name, int after, CUresult result) {
    lock();
    int i = 0;
    while (i < MOST_FAILURES && failures[i].name[0]) i++;
    if (i < MOST_FAILURES) {
        snprintf(failures[i].name, sizeof failures[i].name, "%s", name);
        failures[i].after = after;
        failures[i].result = result;
    }
    unlock();
    return i < MOST_FAILURES;
}

void fake_alive(long long counts[KINDS], long long lost[KINDS]) {
    lock();
    memset(counts, 0, KINDS * sizeof *counts);
    for (struct object *object = objects; object; object = object->next) counts[object->kind]++;
    memcpy(lost, leaked, sizeof leaked);
    unlock();
}
